import { readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

import { ageUsual, UsageError } from '../options.js';
import type { ResultRecord, RunRecord, SetupRecord, SystemRecord } from '../runner.js';
import { systems } from '../systems/index.js';
import { rowsOf, type Row } from '../table.js';
import { workloads } from '../workloads.js';
import { microOf, type MicroResults } from './micro.js';

/** What was measured on one machine with one build, ready to be shown. */
export interface Run {
  readonly label: string;
  readonly records: readonly ResultRecord[];
  readonly setup: SetupRecord | undefined;
  readonly systems: readonly SystemRecord[];
  readonly measured: readonly RunRecord[];
  readonly rows: readonly Row[];
  readonly micro: MicroResults;
  readonly remarks: readonly string[];
}

export const recordsName = 'results.jsonl';

/** Runs of workloads that this version does not know: they are told, not left out in silence. */
function unknownWorkloads(measured: readonly RunRecord[], rows: readonly Row[]): string[] {
  const shown = new Set(rows.map(({ workload }) => workload.name));
  return [...new Set(measured.map(({ workload }) => workload))].filter((name) => !shown.has(name))
    .map((name) => `workload ${name} is none that this version of the bench knows: not shown`);
}

export function runOf(label: string, records: readonly ResultRecord[]): Run {
  const systems = records.filter((record) => record.kind === 'system');
  const measured = records.filter((record) => record.kind === 'run');
  const rows = rowsOf(records);
  return {
    label, records, systems, measured, rows, micro: microOf(records),
    setup: records.find((record) => record.kind === 'setup'),
    remarks: [
      ...records.flatMap((record) => record.kind === 'remark' ? [record.text] : []),
      ...unknownWorkloads(measured, rows),
    ],
  };
}

function isRecord(value: unknown): value is ResultRecord {
  return typeof value === 'object' && value !== null && 'kind' in value
    && typeof value.kind === 'string';
}

/** Throws UsageError that names file and line. A last line that was cut is a remark. */
export function parseRecords(text: string, file: string): ResultRecord[] {
  const lines = text.split('\n');
  return lines.flatMap((line, index): ResultRecord[] => {
    if (line.trim() === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      if (index === lines.length - 1) {
        return [{ kind: 'remark', text: `the last line of ${basename(file)} was cut` }];
      }
    }
    if (!isRecord(value)) throw new UsageError(`${file}:${index + 1} is no record of the bench`);
    return [value];
  });
}

/** Throws UsageError when there are no results in it. */
export function readRecords(directory: string): ResultRecord[] {
  const file = join(directory, recordsName);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw new UsageError(`there is no ${file}`);
  }
  const records = parseRecords(text, file);
  if (records.length === 0) throw new UsageError(`${file} is empty`);
  return records;
}

/** What has to be equal for two files to be parts of one run. */
function groundOf(records: readonly ResultRecord[]): string {
  const setup = records.find((record) => record.kind === 'setup');
  if (setup === undefined) return '';
  const { cpu, processors, memoryBytes, kernel, congestion, node, openssl, onehop, commit } = setup;
  return JSON.stringify([cpu, processors, memoryBytes, kernel, congestion, node, openssl, onehop,
    commit, setup.pinning]);
}

const cellsOf = (records: readonly ResultRecord[]): Set<string> =>
  new Set(records.flatMap((record) =>
    record.kind === 'run' ? [`${record.layout} ${record.workload}`] : []));

/** One record per system and layout; one that was present wins. */
function joinRecords(one: readonly ResultRecord[], other: readonly ResultRecord[]): ResultRecord[] {
  const found = new Map<string, SystemRecord>();
  for (const record of [...one, ...other]) {
    if (record.kind !== 'system') continue;
    const key = `${record.layout} ${record.name}`;
    const before = found.get(key);
    if (before === undefined || before.absent !== undefined) found.set(key, record);
  }
  const rest = (records: readonly ResultRecord[]): ResultRecord[] =>
    records.filter(({ kind }) => kind !== 'system');
  return [
    ...rest(one), ...found.values(), ...rest(other).filter(({ kind }) => kind !== 'setup'),
  ];
}

/**
 * Results of several directories, in their order. Those of the same machine, versions and commit
 * become one run where they measured different workloads; others stay runs of their own, for
 * nothing may be compared between machines.
 */
export function gather(directories: readonly string[]): Run[] {
  const parts: { label: string; records: ResultRecord[] }[] = [];
  for (const directory of directories) {
    const records = readRecords(directory);
    const label = basename(resolve(directory));
    const cells = cellsOf(records);
    const ground = groundOf(records);
    const partner = parts.find((part) => ground !== '' && groundOf(part.records) === ground
      && [...cellsOf(part.records)].every((cell) => !cells.has(cell)));
    if (partner === undefined) {
      parts.push({ label, records });
    } else {
      partner.label += ` + ${label}`;
      partner.records = joinRecords(partner.records, records);
    }
  }
  return parts.map(({ label, records }) => runOf(label, records));
}

/** `--only` with what was measured, where that was not everything; '' where it was. */
function onlyOf(records: readonly ResultRecord[]): string {
  const had = (name: string): boolean => records.some((record) =>
    (record.kind === 'system' && record.name === name)
    || (record.kind === 'run' && record.workload === name));
  const all = [...systems, ...workloads].map(({ name }) => name);
  const names = all.filter(had);
  const hasMicro = records.some(({ kind }) => kind === 'micro');
  return names.length === all.length && hasMicro ? ''
    : ` --only ${[...names, ...hasMicro ? ['micro'] : []].join(',')}`;
}

/** A command that measures the same. */
export function commandOf(records: readonly ResultRecord[]): string {
  const setup = records.find((record) => record.kind === 'setup');
  if (setup === undefined) return '';
  const layouts = [...new Set(records.flatMap((record) =>
    record.kind === 'system' ? [record.layout] : []))];
  const layout = layouts.length === 0 ? '' : ` --layout ${layouts.join(',')}`;
  const { ageSeconds = ageUsual } = setup;
  const age = ageSeconds === ageUsual ? '' : ` --age ${ageSeconds}`;
  const congestion = setup.congestionGiven === true ? ` --congestion ${setup.congestion}` : '';
  const pin = setup.pinning.near === '' ? ' --pin none' : '';
  return `npm run bench --${layout} --rounds ${setup.rounds} --seconds ${setup.seconds} `
    + `--warmup ${setup.warmupSeconds}${age}${congestion}${pin}${onlyOf(records)}`;
}
