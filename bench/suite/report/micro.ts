import type { MicroRow } from '../micro/sample.js';

export interface MicroResults {
  readonly rows: readonly MicroRow[];
  readonly absent: readonly string[];
}

const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value);

function rowOf(value: unknown): MicroRow[] {
  if (typeof value !== 'object' || value === null) return [];
  const { group, name, median, low, high, samples, bytes } = value as Record<string, unknown>;
  if (!isNumber(median) || !isNumber(low) || !isNumber(high)) return [];
  return [{
    group: String(group ?? 'micro-bench'), name: String(name ?? ''), median, low, high,
    samples: isNumber(samples) ? samples : 0, ...(isNumber(bytes) ? { bytes } : {}),
  }];
}

/** Micro-benches among the records: one record a row, or one with `rows` and `absent`. */
export function microOf(records: readonly object[]): MicroResults {
  const rows: MicroRow[] = [];
  const absent: string[] = [];
  for (const record of records) {
    const fields: Record<string, unknown> = { ...record };
    if (fields['kind'] !== 'micro') continue;
    rows.push(...Array.isArray(fields['rows']) ? fields['rows'].flatMap(rowOf) : rowOf(record));
    const why: unknown = fields['absent'];
    absent.push(...(Array.isArray(why) ? why : why === undefined ? [] : [why]).map(String));
  }
  return { rows, absent };
}
