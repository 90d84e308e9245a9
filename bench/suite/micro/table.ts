import type { MicroReport, MicroRow } from './index.js';

/** Three digits, in the unit that suits. */
export function durationOf(nanos: number): string {
  const units: readonly (readonly [number, string])[] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'us']];
  const [scale, unit] = units.find(([least]) => nanos >= least) ?? [1, 'ns'];
  return `${(nanos / scale).toPrecision(3)} ${unit}`;
}

function speedOf({ bytes, median }: MicroRow): string {
  return bytes === undefined ? '' : `${(bytes / median).toPrecision(3)} GB/s`;
}

/** A Markdown table: median of one operation, its quartiles, and bytes per second of records. */
export function microTable({ rows, absent }: MicroReport): string {
  const lines = rows.map((row) => `| ${row.group} | ${row.name} | ${durationOf(row.median)} | `
    + `${durationOf(row.low)} to ${durationOf(row.high)} | ${speedOf(row)} | ${row.samples} |`);
  return [
    '| part | operation | median | middle half | | samples |', '|---|---|---|---|---|---|',
    ...lines, ...absent.map((why) => `\nAbsent: ${why}`), '',
  ].join('\n');
}
