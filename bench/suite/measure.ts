import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { startLoad, startServer, type Load, type LoadReport } from './loadgen.js';
import type { LiveLayout } from './layout.js';
import { LiveContext, ProcessError, type Program, type Stage } from './processes.js';
import type { Endpoint, Peer, RunningSystem, System } from './system.js';
import { policiesUsual, type BesideWorkload, type IdleWorkload, type LoadWorkload,
  type Workload } from './workloads.js';

/** A thread that computes for more than this share of the window may be the limit itself. */
export const saturatedShare = 0.9;
const settleMs = 500;
const idleConnectMsMax = 90_000;
/** Descriptors that the generator and a proxy need beside those of the flows. */
const descriptorsSpare = 500;

/** What one run of one workload on one system showed; a part that was not measured is left out. */
export interface Measurement {
  readonly seconds: number;
  readonly operations: number;
  /** Per second. */
  readonly rate?: number;
  /** Payload bytes per second, one direction. */
  readonly throughput?: number;
  readonly p50Us?: number;
  readonly p90Us?: number;
  readonly p99Us?: number;
  readonly p999Us?: number;
  readonly maxUs?: number;
  /** CPU of all proxies together in the window. */
  readonly proxyCpuSeconds?: number;
  readonly cpuSecondsPerGb?: number;
  readonly cpuUsPerOperation?: number;
  /** Private user memory that one idle flow costs in one proxy, bytes: mean, near, far. */
  readonly flowBytes?: number;
  readonly flowBytesNear?: number;
  readonly flowBytesFar?: number;
  /** Idle flows that really stood. */
  readonly flows?: number;
  /** Beside bulk: bytes per second of the bulk flows. */
  readonly bulkThroughput?: number;
  readonly failures: number;
  readonly corrupt: number;
  readonly firstError: string;
  /** Processors' worth of time, 0 to 1: the generator's client and server are one thread each. */
  readonly clientShare: number;
  readonly serverShare: number;
}

export interface Cell {
  readonly system: System;
  readonly workload: Workload;
  readonly layout: LiveLayout;
  readonly binary: string;
  readonly stage: Stage;
  readonly scratch: string;
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Operations per second of an open loop whose rate is found in the run. */
  readonly openRate?: number;
  readonly signal: AbortSignal;
}

interface Ground {
  readonly cell: Cell;
  readonly running: RunningSystem;
  readonly server: Program;
}

function loadOn({ cell, running, server }: Ground, load: Partial<Load> & Pick<Load, 'work'>): Load {
  return {
    targets: [running.entry], flows: 1, seconds: cell.seconds, warmupSeconds: cell.warmupSeconds,
    cpuOf: [...running.proxies, server], ...load,
  };
}

/** The parts of a report that mean the same under every work. */
function common(report: LoadReport): Pick<Measurement, 'seconds' | 'operations' | 'failures'
  | 'corrupt' | 'firstError' | 'clientShare' | 'serverShare' | 'proxyCpuSeconds'> {
  const spent = [...report.peersCpuSeconds];
  const server = spent.pop() ?? 0;
  return {
    seconds: report.seconds, operations: report.operations, failures: report.failures,
    corrupt: report.corrupt, firstError: report.firstError,
    clientShare: report.cpuSeconds / report.seconds, serverShare: server / report.seconds,
    proxyCpuSeconds: spent.reduce((sum, seconds) => sum + Math.max(seconds, 0), 0),
  };
}

const latencyOf = ({ p50Us, p90Us, p99Us, p999Us, maxUs }: LoadReport):
Pick<Measurement, 'p50Us' | 'p90Us' | 'p99Us' | 'p999Us' | 'maxUs'> =>
  ({ p50Us, p90Us, p99Us, p999Us, maxUs });

async function measureLoad(ground: Ground, workload: LoadWorkload): Promise<Measurement> {
  const { cell } = ground;
  const rate = workload.rate ?? cell.openRate;
  const report = await startLoad(cell.binary, cell.layout, loadOn(ground, {
    work: workload.work, flows: workload.flows,
    seconds: Math.min(cell.seconds, workload.secondsMax ?? Infinity),
    ...(workload.messageBytes === undefined ? {} : { messageBytes: workload.messageBytes }),
    ...(rate === undefined ? {} : { rate }),
  }), cell.signal).report;
  const shared = common(report);
  const cpu = shared.proxyCpuSeconds ?? 0;
  if (workload.kind === 'bulk') {
    return {
      ...shared, throughput: report.bytes / report.seconds,
      cpuSecondsPerGb: cpu / (report.bytes / 1e9),
    };
  }
  return {
    ...shared, ...latencyOf(report), rate: report.operations / report.seconds,
    cpuUsPerOperation: cpu * 1e6 / report.operations,
  };
}

async function measureBeside(ground: Ground, workload: BesideWorkload): Promise<Measurement> {
  const { cell } = ground;
  const { binary, layout, signal, seconds, warmupSeconds } = cell;
  const bulk = startLoad(binary, layout, loadOn(ground, {
    work: 'upload', flows: workload.bulkFlows, warmupSeconds: warmupSeconds * 2,
    seconds: seconds + warmupSeconds, cpuOf: [],
  }), signal);
  try {
    await sleep(warmupSeconds * 1_000, undefined, { signal });
    const ping = await startLoad(binary, layout, loadOn(ground, {
      work: 'ping-pong', messageBytes: workload.messageBytes,
    }), signal).report;
    const beside = await bulk.report;
    return {
      ...common(ping), ...latencyOf(ping), rate: ping.operations / ping.seconds,
      failures: ping.failures + beside.failures, corrupt: ping.corrupt + beside.corrupt,
      firstError: ping.firstError || beside.firstError,
      bulkThroughput: beside.bytes / beside.seconds,
    };
  } finally {
    bulk.end();
  }
}

/** Private_Clean and Private_Dirty of a process, bytes. */
export async function privateBytes({ pid }: Peer): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)];
  return kib.reduce((sum, [, digits]) => sum + Number(digits) * 1024, 0);
}

async function descriptorsOf(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

async function descriptorsMax(pid: number): Promise<number> {
  const limits = await readFile(`/proc/${pid}/limits`, 'utf8');
  return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1] ?? 1_024);
}

async function measureIdle(ground: Ground, workload: IdleWorkload): Promise<Measurement> {
  const { cell, running, server } = ground;
  const { binary, layout, signal } = cell;
  // What the first flow brings along is no cost of a flow.
  await startLoad(binary, layout, loadOn(ground, {
    work: 'ping-pong', messageBytes: 1, flows: 8, seconds: 0.1, warmupSeconds: 0,
  }), signal).report;
  await sleep(settleMs, undefined, { signal });
  const before = await Promise.all(running.proxies.map(privateBytes));
  const standing = await descriptorsOf(server.pid);
  const flows = Math.min(workload.flows, await descriptorsMax(server.pid) - descriptorsSpare);
  const idle = startLoad(binary, layout, loadOn(ground, {
    work: 'idle', flows, seconds: 3_600, warmupSeconds: 0, cpuOf: [],
  }), signal);
  try {
    await Promise.race([idle.connected, idle.report]);
    const deadline = Date.now() + idleConnectMsMax;
    let arrived = 0;
    while ((arrived = await descriptorsOf(server.pid) - standing) < flows) {
      if (Date.now() > deadline) throw new ProcessError(`only ${arrived} of ${flows} flows came`);
      await sleep(50, undefined, { signal });
    }
    await sleep(settleMs, undefined, { signal });
    const after = await Promise.all(running.proxies.map(privateBytes));
    const costs = after.map((bytes, index) => (bytes - (before[index] ?? 0)) / flows);
    const total = costs.reduce((sum, bytes) => sum + bytes, 0);
    const of = (side: string): number => running.proxies.reduce((sum, peer, index) =>
      sum + (peer.side === side ? costs[index] ?? 0 : 0), 0);
    return {
      seconds: 0, operations: flows, flows, failures: 0, corrupt: 0, firstError: '',
      clientShare: 0, serverShare: 0, flowBytes: total / 2, flowBytesNear: of('near'),
      flowBytesFar: of('far'),
    };
  } finally {
    idle.end();
    await idle.report.catch(() => undefined);
  }
}

function measureOn(ground: Ground, workload: Workload): Promise<Measurement> {
  switch (workload.kind) {
    case 'bulk': case 'rate': return measureLoad(ground, workload);
    case 'beside': return measureBeside(ground, workload);
    case 'idle': return measureIdle(ground, workload);
  }
}

/** The system is started, measured and ended. Rejects with ProcessError where a process failed. */
export async function measureCell(cell: Cell): Promise<Measurement> {
  const { system, workload, layout, binary, stage, signal } = cell;
  const scratch = await mkdtemp(join(cell.scratch, `${system.name}-`));
  const server = await startServer(binary, stage, layout, scratch, signal);
  const endpoint: Endpoint = server.endpoint;
  const context = new LiveContext(stage, {
    layout, server: endpoint, scratch, shards: workload.shards ?? 1,
    policies: workload.policies ?? policiesUsual, signal,
  });
  let running: RunningSystem | undefined;
  try {
    running = await system.start(context);
    const measured = await measureOn({ cell, running, server: server.program }, workload);
    if (context.casualties !== '') throw new ProcessError(context.casualties);
    return measured;
  } catch (error) {
    // A dead proxy explains what the generator only saw.
    if (!signal.aborted && context.casualties !== '') throw new ProcessError(context.casualties);
    throw error;
  } finally {
    await running?.stop().catch(() => undefined);
    await context.end();
    await stage.end([server.program]);
    if (!signal.aborted) await rm(scratch, { recursive: true, force: true });
  }
}
