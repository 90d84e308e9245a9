import { pairedRatio, type Ratio, type Spread } from '../statistics.js';
import { comparisons, fastestOf, metricsOf, type Metric, type Row } from '../table.js';
import type { Workload } from '../workloads.js';
import type { Run } from './gather.js';

/** One system beside another in one workload and metric. */
export interface Claim {
  readonly subject: string;
  readonly rival: string;
  /** undefined where nothing can be said; then `why` tells. */
  readonly ratio: Ratio | undefined;
  readonly why: string;
}

/** Fields of a workload that not every kind has. */
export interface Said {
  readonly flows?: number;
  readonly work?: string;
  readonly rate?: number;
  readonly halfOf?: string;
  readonly messageBytes?: number;
  readonly shards?: number;
  readonly policies?: number;
  readonly systems?: readonly string[];
  readonly bulkFlows?: number;
}

export const said = (workload: Workload): Said => ({ ...workload });

export const headlineOf = (workload: Workload): Metric | undefined => metricsOf[workload.kind][0];

export function metricOf(workload: Workload, key: string): Metric | undefined {
  return metricsOf[workload.kind].find((metric) => metric.key === key);
}

/** Workloads with rows, each once in each layout, in the order of the tables. */
export interface Place {
  readonly layout: Row['layout'];
  readonly workload: Workload;
  readonly rows: readonly Row[];
}

export function placesOf(rows: readonly Row[]): Place[] {
  const places = new Map<string, Row[]>();
  for (const row of rows) {
    const key = `${row.layout} ${row.workload.name}`;
    places.set(key, [...places.get(key) ?? [], row]);
  }
  return [...places.values()].flatMap((of) => {
    const [first] = of;
    if (first === undefined) return [];
    return [{ layout: first.layout, workload: first.workload, rows: of }];
  });
}

const rowOf = (place: Place, system: string): Row | undefined =>
  place.rows.find((row) => row.system === system);

export function spreadIn(place: Place, system: string, metric: Metric): Spread | undefined {
  const found = rowOf(place, system)?.metrics.find((one) => one.metric.key === metric.key);
  return found?.spread;
}

export const isMeasured = (place: Place, system: string): boolean =>
  (rowOf(place, system)?.metrics.length ?? 0) > 0;

/** The systems of a comparison's name, or the system itself. */
export function candidatesOf(name: string): readonly string[] {
  return comparisons.find((comparison) => comparison.name === name)?.candidates ?? [name];
}

/** The form of a comparison's system that did best here; the first when none was measured. */
export function formOf(run: Run, place: Place, name: string): string {
  const candidates = candidatesOf(name);
  const headline = headlineOf(place.workload);
  const runs = run.measured.filter(({ layout, workload }) =>
    layout === place.layout && workload === place.workload.name);
  const best = headline === undefined ? '' : fastestOf(runs, { name, candidates }, headline);
  return best === '' ? candidates[0] ?? name : best;
}

/** Why a system has no numbers in a workload, or none that may be compared; '' when it has. */
export function obstacleOf(place: Place, system: string): string {
  const row = rowOf(place, system);
  if (row === undefined) return `${system} was not in this run`;
  if (row.absent !== '') return `${system} is absent: ${row.absent}`;
  if (row.void !== '') return `${system} is void: ${row.void}`;
  if (row.metrics.length > 0) return '';
  return row.error === '' ? `${system} was not measured` : `${system} failed: ${row.error}`;
}

function valuesByRound(run: Run, place: Place, system: string, metric: Metric):
Map<number, number> {
  return new Map(run.measured.flatMap((one): [number, number][] => {
    if (one.layout !== place.layout || one.workload !== place.workload.name
      || one.system !== system) return [];
    const value = one.measured?.[metric.key];
    return typeof value === 'number' && Number.isFinite(value) ? [[one.round, value]] : [];
  }));
}

/**
 * `subject` divided by `rival`, paired by round; `rival` may be a comparison's name, and in another
 * workload of the same run.
 */
export function compare(run: Run, place: Place, metric: Metric, subject: string, name: string,
  rivalPlace = place): Claim {
  const rival = formOf(run, rivalPlace, name);
  const said = { subject, rival };
  const why = obstacleOf(place, subject) || obstacleOf(rivalPlace, rival);
  if (why !== '') return { ...said, ratio: undefined, why };
  const theirs = valuesByRound(run, rivalPlace, rival, metric);
  const pairs = [...valuesByRound(run, place, subject, metric)].flatMap(([round, value]) => {
    const other = theirs.get(round);
    return other === undefined ? [] : [[value, other] as const];
  });
  const ratio = pairedRatio(pairs);
  return { ...said, ratio, why: ratio === undefined ? 'they have no round in common' : '' };
}

/** Names of the comparisons of which any row has a ratio, in their order. */
export function comparedIn(rows: readonly Row[]): string[] {
  return comparisons.map(({ name }) => name).filter((name) =>
    rows.some(({ metrics }) => metrics.some(({ ratios }) => ratios[name] !== undefined)));
}
