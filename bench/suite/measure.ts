import type { LoadReport } from './loadgen.js';
import { measureIdle, measureRest } from './measure_memory.js';
import type { Measurement } from './measurement.js';
import { ProcessError } from './processes.js';
import type { Rig } from './rig.js';
import type { Endpoint } from './system.js';
import type {
  BesideWorkload, ColdWorkload, LoadWorkload, StormWorkload, Workload,
} from './workloads.js';

/** Of the CPU of a pair of proxies. A hop with less did not carry the traffic. */
const hopShareMin = 0.02;
/** CPU seconds of a pair below which its shares say nothing. */
const hopCpuMin = 0.02;

/** How long, and how, one cell of the table is measured. */
export interface Effort {
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Operations per second of an open loop whose rate is found in the run. */
  readonly openRate?: number;
}

/** Of a run that did nothing, no quantile is one. */
function refuseNothing(report: LoadReport): void {
  if (report.operations > 0) return;
  throw new ProcessError(`no operation was done${report.firstError === '' ? ''
    : `: ${report.firstError}`}`);
}

/** What went wrong in one measurement; of several reports, the first error is the first one's. */
export function lossOf(...reports: readonly LoadReport[]):
Pick<Measurement, 'failures' | 'corrupt' | 'firstError'> {
  const errors = reports.map(({ firstError, late }) =>
    firstError || (late > 0 ? `${late} operations found no free flow` : ''));
  return {
    failures: reports.reduce((sum, { failures, late }) => sum + failures + late, 0),
    corrupt: reports.reduce((sum, { corrupt }) => sum + corrupt, 0),
    firstError: errors.find((text) => text !== '') ?? '',
  };
}

/** The parts of a report that mean the same under every work. */
function common(rig: Rig, report: LoadReport): Pick<Measurement, 'seconds' | 'operations'
  | 'failures' | 'corrupt' | 'firstError' | 'clientShare' | 'serverShare' | 'clientWaitShare'
  | 'proxyCpuSeconds'> {
  const spent = [...report.peersCpuSeconds];
  const server = spent.pop() ?? 0;
  const of = (side: string): number => rig.running.proxies.reduce((sum, peer, index) =>
    sum + (side === peer.side ? Math.max(spent[index] ?? 0, 0) : 0), 0);
  const [near, far] = [of('near'), of('far')];
  const least = Math.min(near, far);
  if (near + far > hopCpuMin && least < hopShareMin * (near + far)) {
    throw new ProcessError(`the traffic passed one hop only: near ${near} s of CPU, far ${far} s`);
  }
  return {
    seconds: report.seconds, operations: report.operations, ...lossOf(report),
    clientShare: report.busiest, serverShare: server / report.seconds,
    clientWaitShare: report.runDelaySeconds / report.seconds,
    proxyCpuSeconds: near + far,
  };
}

const latencyOf = ({ p50Us, p90Us, p99Us, p999Us, maxUs }: LoadReport):
Pick<Measurement, 'p50Us' | 'p90Us' | 'p99Us' | 'p999Us' | 'maxUs'> =>
  ({ p50Us, p90Us, p99Us, p999Us, maxUs });

/** Rate, latency and CPU of operations. */
function operationsOf(rig: Rig, report: LoadReport): Measurement {
  refuseNothing(report);
  const shared = common(rig, report);
  return {
    ...shared, ...latencyOf(report), rate: report.operations / report.seconds,
    cpuUsPerOperation: (shared.proxyCpuSeconds ?? 0) * 1e6 / report.operations,
  };
}

async function measureLoad(rig: Rig, workload: LoadWorkload, effort: Effort): Promise<Measurement> {
  const rate = workload.rate ?? effort.openRate;
  const report = await rig.load({
    work: workload.work, flows: workload.flows, seconds: effort.seconds,
    warmupSeconds: effort.warmupSeconds,
    ...(workload.messageBytes === undefined ? {} : { messageBytes: workload.messageBytes }),
    ...(rate === undefined ? {} : { rate }),
    ...(workload.sources === undefined ? {} : { sources: workload.sources }),
  }).report;
  if (workload.kind !== 'bulk') {
    return { ...operationsOf(rig, report), ...(rate === undefined ? {} : { askedRate: rate }) };
  }
  const shared = common(rig, report);
  return {
    ...shared, throughput: report.bytes / report.seconds,
    cpuSecondsPerGb: (shared.proxyCpuSeconds ?? 0) / (report.bytes / 1e9),
  };
}

async function measureBeside(rig: Rig, workload: BesideWorkload, effort: Effort):
Promise<Measurement> {
  const report = await rig.load({
    ...effort, work: 'upload', flows: workload.bulkFlows, beside: 1,
    messageBytes: workload.messageBytes,
  }).report;
  return { ...operationsOf(rig, report), bulkThroughput: report.bulkBytes / report.seconds };
}

const entriesOf = ({ running }: Rig): readonly Endpoint[] => running.entries ?? [running.entry];

async function measureCold(rig: Rig, { flows }: ColdWorkload, effort: Effort):
Promise<Measurement> {
  if (rig.running.work !== undefined) {
    const { operations, seconds } = await rig.running.work(effort.seconds);
    return {
      operations, seconds, rate: operations / seconds, failures: 0, corrupt: 0, firstError: '',
      clientShare: 0, serverShare: 0,
    };
  }
  const report = await rig.load({
    work: 'connect-once', targets: entriesOf(rig), flows, messageBytes: 64,
  }).report;
  return operationsOf(rig, report);
}

async function measureStorm(rig: Rig, workload: StormWorkload, effort: Effort):
Promise<Measurement> {
  const { flows, rate, messageBytes, stormRate } = workload;
  const [first = rig.running.entry, ...others] = entriesOf(rig);
  const live = (): Promise<LoadReport> => rig.load({
    ...effort, work: 'ping-pong', targets: [first], flows, rate, messageBytes,
  }).report;
  const calm = await live();
  const storm = rig.load({
    work: 'connect-close', targets: others, flows: 32, messageBytes, rate: stormRate,
    seconds: effort.seconds, warmupSeconds: effort.warmupSeconds, cpuOf: [],
  });
  try {
    const [beside, stormed] = await Promise.all([live(), storm.report]);
    return {
      ...operationsOf(rig, beside), ...lossOf(beside, stormed, calm), calmP50Us: calm.p50Us, calmP99Us: calm.p99Us,
      stormRatio: beside.p99Us / calm.p99Us, stormRate: stormed.operations / stormed.seconds,
    };
  } finally {
    storm.end();
  }
}

function measureOn(rig: Rig, workload: Workload, effort: Effort): Promise<Measurement> {
  switch (workload.kind) {
    case 'bulk': case 'rate': case 'open': return measureLoad(rig, workload, effort);
    case 'beside': return measureBeside(rig, workload, effort);
    case 'cold': return measureCold(rig, workload, effort);
    case 'storm': return measureStorm(rig, workload, effort);
    case 'idle': return measureIdle(rig, workload);
    case 'rest': return measureRest(rig, workload);
  }
}

/** Rejects with ProcessError where a process failed. */
export async function measureCell(rig: Rig, workload: Workload, effort: Effort):
Promise<Measurement> {
  const { signal } = rig.ground;
  try {
    const measured = await measureOn(rig, workload, {
      ...effort, warmupSeconds: Math.max(effort.warmupSeconds, workload.warmupMin ?? 0),
    });
    if (rig.casualties !== '') throw new ProcessError(rig.casualties);
    return measured;
  } catch (error) {
    // A dead proxy explains what the generator only saw.
    if (!signal.aborted && rig.casualties !== '') throw new ProcessError(rig.casualties);
    throw error;
  }
}
