import type { Ratio } from '../statistics.js';
import type { Metric } from '../table.js';
import { compare, metricOf, placesOf, spreadIn, type Place } from './compare.js';
import type { Run } from './gather.js';
import { nodeProxies } from './scenes.js';
import { spreadText } from './words.js';

/** What this project wants to reach; bounds of ratios, or of the value where there is no rival. */
interface Target {
  readonly workload: RegExp;
  readonly metric: string;
  readonly rival?: string;
  readonly subject?: string;
  /** The workload of the rival, by default the subject itself; default: the same workload. */
  readonly rivalWorkload?: string;
  readonly bound: 'at least' | 'at most';
  /** With a vectorised AES-GCM, and without. */
  readonly vector: number;
  readonly plain?: number;
}

const bulk = /^bulk-(?:up|down)-(?:1|16)$/;
const connect = 'envoy-connect';
const sidecar = 'envoy-sidecar';

const targets: readonly Target[] = [
  { workload: bulk, metric: 'throughput', rival: 'relay', bound: 'at least', vector: 0.95,
    plain: 0.8 },
  { workload: bulk, metric: 'cpuSecondsPerGb', rival: 'relay', bound: 'at most', vector: 1.1,
    plain: 1.45 },
  { workload: bulk, metric: 'cpuSecondsPerGb', rival: connect, bound: 'at most', vector: 0.45,
    plain: 0.65 },
  { workload: /^ping-\w+-64$/, metric: 'rate', rival: 'relay', bound: 'at least', vector: 0.95 },
  { workload: /^ping-\w+-512$/, metric: 'rate', rival: 'relay', bound: 'at least', vector: 1.1 },
  { workload: /^ping-\w+-(?:64|512)$/, metric: 'cpuUsPerOperation', rival: 'relay',
    bound: 'at most', vector: 0.6 },
  { workload: /^ping-\w+-(?:64|512)$/, metric: 'cpuUsPerOperation', rival: connect,
    bound: 'at most', vector: 0.45 },
  { workload: /^ping-\w+-1$/, metric: 'p50Us', rival: 'relay', bound: 'at most', vector: 1.05 },
  { workload: /^ping-\w+-1$/, metric: 'p50Us', subject: 'hbone-spin', rival: nodeProxies,
    bound: 'at most', vector: 0.5 },
  { workload: /^ping-beside-bulk$/, metric: 'p50Us', rival: connect, bound: 'at most',
    vector: 0.1 },
  { workload: /^ping-beside-bulk$/, metric: 'p99Us', rival: connect, bound: 'at most',
    vector: 0.25 },
  { workload: /^connect-1$/, metric: 'rate', rival: 'relay', bound: 'at least', vector: 0.85 },
  { workload: /^connect-32$/, metric: 'rate', rival: 'relay', bound: 'at least', vector: 0.9 },
  { workload: /^connect-(?:1|32)$/, metric: 'rate', rival: connect, bound: 'at least', vector: 2 },
  { workload: /^connect-(?:1|32)$/, metric: 'cpuUsPerOperation', rival: connect, bound: 'at most',
    vector: 0.35 },
  { workload: /^idle-/, metric: 'flowBytes', bound: 'at most', vector: 1_536 },
  { workload: /^http-64$/, metric: 'rate', rival: sidecar, bound: 'at least', vector: 3.5 },
  { workload: /^http-64$/, metric: 'cpuUsPerOperation', rival: sidecar, bound: 'at most',
    vector: 0.12 },
  { workload: /^http-64$/, metric: 'p50Us', rival: sidecar, bound: 'at most', vector: 0.3 },
  { workload: /^http-64$/, metric: 'p99Us', rival: sidecar, bound: 'at most', vector: 0.2 },
  { workload: /^rest$/, metric: 'restOverNodeBytes', bound: 'at most', vector: 12 * 2 ** 20 },
  { workload: /^rest$/, metric: 'restCpuShare', bound: 'at most', vector: 0.001 },
  { workload: /^rest$/, metric: 'readyMs', bound: 'at most', vector: 400 },
  { workload: /^cold$/, metric: 'rate', rival: 'handshake-loop', bound: 'at least', vector: 0.85 },
  { workload: /^storm$/, metric: 'stormRatio', bound: 'at most', vector: 1.5 },
  { workload: /^(?:live|cached)-flows$/, metric: 'p99Us', subject: 'hbone-stalled',
    rival: 'hbone-burdened', bound: 'at most', vector: 1.1 },
  { workload: /^setup-10000$/, metric: 'cpuUsPerOperation', rivalWorkload: 'setup-0',
    bound: 'at most', vector: 1.1 },
  { workload: /^bulk-up-16-shards-2$/, metric: 'throughput', rivalWorkload: 'bulk-up-16-shards-1',
    bound: 'at least', vector: 1.7 },
  { workload: /^ping-1b-64-shards-2$/, metric: 'rate', rivalWorkload: 'ping-1b-64-shards-1',
    bound: 'at least', vector: 1.7 },
];

/** `reached` and `missed` only where all of the interval says so; `open` where it does not. */
export type Reached = 'reached' | 'missed' | 'open' | 'not known';

export interface TargetResult {
  readonly layout: string;
  readonly workload: string;
  readonly metric: string;
  /** `hbone ÷ relay`, or the system alone. */
  readonly what: string;
  readonly bound: string;
  readonly measured: Ratio | string;
  readonly reached: Reached;
  /** Why it is not known; '' when it is. */
  readonly why: string;
}

function judge([low, high]: readonly [number, number], { bound }: Target, limit: number): Reached {
  const inside = (value: number): boolean => bound === 'at least' ? value >= limit : value <= limit;
  return inside(low) && inside(high) ? 'reached' : inside(low) || inside(high) ? 'open' : 'missed';
}

function aloneResult(place: Place, target: Target, metric: Metric, limit: number):
Omit<TargetResult, 'layout' | 'workload' | 'metric'> {
  const { subject = nodeProxies } = target;
  const spread = spreadIn(place, subject, metric);
  const bound = `${target.bound} ${limit / metric.scale} ${metric.unit}`.trimEnd();
  return spread === undefined
    ? { what: subject, bound, measured: '', reached: 'not known', why: 'not measured' }
    : { what: subject, bound, measured: `${spreadText(spread, metric)} ${metric.unit}`.trimEnd(),
      reached: judge([spread.least, spread.most], target, limit), why: '' };
}

function resultOf(run: Run, place: Place, target: Target): TargetResult[] {
  const metric = metricOf(place.workload, target.metric);
  if (metric === undefined) return [];
  const { subject = nodeProxies, rivalWorkload } = target;
  const limit = run.setup?.vectorisedGcm === true ? target.vector
    : target.plain ?? target.vector;
  const head = { layout: place.layout, workload: place.workload.title, metric: metric.title };
  const rival = target.rival ?? (rivalWorkload === undefined ? undefined : subject);
  if (rival === undefined) return [{ ...head, ...aloneResult(place, target, metric, limit) }];
  const rivalPlace = rivalWorkload === undefined ? place : placesOf(run.rows).find((other) =>
    other.layout === place.layout && other.workload.name === rivalWorkload);
  if (rivalPlace === undefined) return [];
  const claim = compare(run, place, metric, subject, rival, rivalPlace);
  const beside = rivalPlace === place ? claim.rival : rivalPlace.workload.title;
  const what = `${claim.subject} ÷ ${beside}`;
  const said = { ...head, what, bound: `${target.bound} ${limit}×` };
  const { ratio, why } = claim;
  if (ratio === undefined) return [{ ...said, measured: '', reached: 'not known', why }];
  return [{
    ...said, measured: ratio, why: ratio.interval === undefined ? 'too few rounds to claim' : '',
    reached: ratio.interval === undefined ? 'not known' : judge(ratio.interval, target, limit),
  }];
}

/** Every target of which the workload is in the run. */
export function targetsOf(run: Run): TargetResult[] {
  return placesOf(run.rows).flatMap((place) => targets
    .filter(({ workload }) => workload.test(place.workload.name))
    .flatMap((target) => resultOf(run, place, target)));
}
