import { saturatedShare, type Measurement } from './measurement.js';
import type { ResultRecord, RunRecord, SystemRecord } from './runner.js';
import { median, pairedRatio, spreadOf, type Ratio, type Spread } from './statistics.js';
import type { LayoutName } from './system.js';
import { takesPart } from './taking_part.js';
import { workloads, type Workload } from './workloads.js';

/** Numbers of a measurement that are compared, with how they are shown. */
export interface Metric {
  readonly key: keyof Measurement & string;
  readonly title: string;
  readonly unit: string;
  /** What one unit is worth in the measurement's own. */
  readonly scale: number;
  readonly better: 'more' | 'less';
}

const metric = (key: Metric['key'], title: string, unit: string, scale: number,
  better: Metric['better']): Metric => ({ key, title, unit, scale, better });

const cpuPerOperation = metric('cpuUsPerOperation', 'proxy CPU', 'µs/op', 1, 'less');
const p50 = metric('p50Us', 'p50', 'µs', 1, 'less');
const p99 = metric('p99Us', 'p99', 'µs', 1, 'less');

/** The first one is the headline. */
export const metricsOf: Record<Workload['kind'], readonly Metric[]> = {
  bulk: [
    metric('throughput', 'throughput', 'GB/s', 1e9, 'more'),
    metric('cpuSecondsPerGb', 'proxy CPU', 's/GB', 1, 'less'),
  ],
  rate: [metric('rate', 'rate', '/s', 1, 'more'), cpuPerOperation, p50, p99],
  open: [p50, p99, cpuPerOperation, metric('rate', 'rate', '/s', 1, 'more')],
  beside: [p50, p99, metric('bulkThroughput', 'bulk beside it', 'GB/s', 1e9, 'more')],
  idle: [
    metric('flowBytes', 'per flow and hop', 'KiB', 1024, 'less'),
    metric('flowBytesNear', 'near', 'KiB', 1024, 'less'),
    metric('flowBytesFar', 'far', 'KiB', 1024, 'less'), metric('flows', 'flows', '', 1, 'more'),
  ],
  rest: [
    metric('restBytes', 'private memory', 'MiB', 2 ** 20, 'less'),
    metric('restOverNodeBytes', 'over a bare node', 'MiB', 2 ** 20, 'less'),
    metric('restCpuShare', 'CPU', '%', 0.01, 'less'),
    metric('readyMs', 'ready after', 'ms', 1, 'less'),
  ],
  cold: [metric('rate', 'tunnels', '/s', 1, 'more'), cpuPerOperation, p50, p99],
  storm: [
    p99, metric('calmP99Us', 'p99 without new tunnels', 'µs', 1, 'less'),
    metric('stormRatio', 'p99 with ÷ without', '', 1, 'less'),
    metric('stormRate', 'new tunnels', '/s', 1, 'more'), p50,
  ],
};

export interface RowMetric {
  readonly metric: Metric;
  readonly spread: Spread;
  /** By the name of the system compared with; nothing where there is no claim to make. */
  readonly ratios: Readonly<Record<string, Ratio>>;
}

export interface Row {
  readonly layout: LayoutName;
  readonly workload: Workload;
  readonly system: string;
  readonly metrics: readonly RowMetric[];
  readonly failures: number;
  readonly corrupt: number;
  readonly clientShare: number;
  readonly serverShare: number;
  /** NaN where it was not measured. */
  readonly clientWaitShare: number;
  /** Why nothing may be claimed from this row; '' when all may. */
  readonly void: string;
  /** Why rounds, or all of it, are missing; '' when nothing is. */
  readonly error: string;
  /** Why the system is not here; '' when it is. */
  readonly absent: string;
}

export interface Comparison {
  /** The column's name. */
  readonly name: string;
  /** The fastest of these is compared with, by the median of the headline. */
  readonly candidates: readonly string[];
  /** The systems that are compared with it; default: all others. */
  readonly of?: readonly string[];
}

/** Whom systems are compared with. "relay" is the faster of its two forms. */
export const comparisons: readonly Comparison[] = [
  { name: 'relay', candidates: ['relay', 'relay-epoll'] },
  { name: 'envoy-sidecar', candidates: ['envoy-sidecar'] },
  { name: 'envoy-connect', candidates: ['envoy-connect'] },
  { name: 'hbone', candidates: ['hbone'], of: ['hbone-spin', 'hbone-honest', 'ztunnel'] },
  { name: 'hbone-burdened', candidates: ['hbone-burdened'], of: ['hbone-stalled'] },
  { name: 'handshake-loop', candidates: ['handshake-loop'], of: ['hbone', 'hbone-honest'] },
];

type Runs = readonly RunRecord[];

/**
 * Of the operations; where more fail, rates and quantiles are those of another, easier load. Bulk has
 * none: there every failure is too many.
 */
const failedShareMax = 0.001;

const valueOf = (run: RunRecord, { key }: Metric): number | undefined => {
  const value = run.measured?.[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
};

const valuesOf = (runs: Runs, one: Metric): number[] =>
  runs.flatMap((run) => valueOf(run, one) ?? []);

/** The form of a comparison's system that did best in one workload; '' when none was measured. */
export function fastestOf(runs: Runs, { candidates }: Comparison, headline: Metric): string {
  const sign = headline.better === 'more' ? 1 : -1;
  let best = '';
  let bestValue = -Infinity;
  for (const system of candidates) {
    const values = valuesOf(runs.filter((run) => run.system === system), headline);
    const value = values.length === 0 ? -Infinity : median(values) * sign;
    if (value > bestValue) [best, bestValue] = [system, value];
  }
  return best;
}

const sumOf = (runs: Runs, key: 'failures' | 'corrupt' | 'operations'): number =>
  runs.reduce((total, { measured }) => total + (measured?.[key] ?? 0), 0);

const shareOf = (runs: Runs, key: 'clientShare' | 'serverShare' | 'clientWaitShare'): number =>
  median(runs.flatMap(({ measured }) => measured?.[key] ?? []));

function voidOf(runs: Runs): string {
  if (sumOf(runs, 'corrupt') > 0) return 'corrupt bytes';
  if (sumOf(runs, 'failures') > sumOf(runs, 'operations') * failedShareMax) {
    return 'too many failures';
  }
  if (shareOf(runs, 'clientShare') >= saturatedShare) {
    return 'the generator\'s client is saturated';
  }
  if (shareOf(runs, 'serverShare') >= saturatedShare) return 'the generator\'s server is saturated';
  return '';
}

function ratioOf(mine: Runs, theirs: Runs, one: Metric): Ratio | undefined {
  return pairedRatio(mine.flatMap((run) => {
    const other = theirs.find(({ round }) => round === run.round);
    const a = valueOf(run, one);
    const b = other === undefined ? undefined : valueOf(other, one);
    // Idle flows that descriptors allowed to one and not to the other.
    if (run.measured?.flows !== other?.measured?.flows) return [];
    return a === undefined || b === undefined ? [] : [[a, b] as const];
  }));
}

function rowOf(layout: LayoutName, workload: Workload, known: SystemRecord, all: Runs): Row {
  const mine = all.filter(({ system }) => system === known.name);
  const voided = voidOf(mine);
  const metrics = metricsOf[workload.kind].flatMap((one): RowMetric[] => {
    const spread = spreadOf(valuesOf(mine, one));
    if (spread === undefined) return [];
    const [headline = one] = metricsOf[workload.kind];
    const ratios: Record<string, Ratio> = {};
    for (const comparison of comparisons) {
      if (!(comparison.of?.includes(known.name) ?? true)) continue;
      const rival = fastestOf(all, comparison, headline);
      const theirs = all.filter(({ system }) => system === rival);
      if (rival === '' || rival === known.name || voided !== '' || voidOf(theirs) !== '') continue;
      const ratio = ratioOf(mine, theirs, one);
      if (ratio !== undefined) ratios[comparison.name] = ratio;
    }
    return [{ metric: one, spread, ratios }];
  });
  return {
    layout, workload, system: known.name, metrics, failures: sumOf(mine, 'failures'),
    corrupt: sumOf(mine, 'corrupt'), clientShare: shareOf(mine, 'clientShare'),
    serverShare: shareOf(mine, 'serverShare'), clientWaitShare: shareOf(mine, 'clientWaitShare'),
    void: voided, error: mine.find(({ error }) => error !== undefined)?.error ?? '',
    absent: known.absent ?? '',
  };
}

/** One row for every system in every workload that was tried, in the order of the tables. */
export function rowsOf(records: readonly ResultRecord[]): Row[] {
  const runs = records.filter((record) => record.kind === 'run');
  const known = records.filter((record) => record.kind === 'system');
  return [...new Set(known.map(({ layout }) => layout))].flatMap((layout) =>
    workloads.flatMap((workload) => {
      const all = runs.filter((run) => run.layout === layout && run.workload === workload.name);
      if (all.length === 0) return [];
      // Present systems that take no part say nothing; an absent one says that it might have.
      return known.filter((system) => system.layout === layout && (system.absent === undefined
        ? all.some((run) => run.system === system.name) : takesPart(system.name, workload)))
        .map((system) => rowOf(layout, workload, system, all));
    }));
}
