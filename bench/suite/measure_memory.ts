import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { cpuSecondsOf } from './loadgen.js';
import type { Measurement } from './measurement.js';
import { ProcessError } from './processes.js';
import { settleMs, type Rig } from './rig.js';
import type { Peer } from './system.js';
import type { IdleWorkload, RestWorkload } from './workloads.js';

const idleConnectMsMax = 90_000;
/** Descriptors that the generator and a proxy need beside those of the flows. */
const descriptorsSpare = 500;

const unmeasured = {
  failures: 0, corrupt: 0, firstError: '', clientShare: 0, serverShare: 0,
} as const;

/**
 * Private_Dirty of a process, bytes. Not Private_Clean: pages of the program's own file are private
 * to a process only as long as no other one runs that program.
 */
export async function privateBytes({ pid }: Pick<Peer, 'pid'>): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Private_Dirty:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}

async function descriptorsOf(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

async function descriptorsMax(pid: number): Promise<number> {
  const limits = await readFile(`/proc/${pid}/limits`, 'utf8');
  return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1] ?? 1_024);
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

export async function measureIdle(rig: Rig, workload: IdleWorkload): Promise<Measurement> {
  const { running: { proxies }, server, system, ground: { signal } } = rig;
  // What the first flow brings along is no cost of a flow.
  await rig.load({ work: 'ping-pong', messageBytes: 1, flows: 8, seconds: 0.1 }).report;
  await rig.rest();
  const before = await Promise.all(proxies.map(privateBytes));
  const standing = await descriptorsOf(server.pid);
  const arrived = async (): Promise<number> => await descriptorsOf(server.pid) - standing;
  const room = await descriptorsMax(server.pid) - descriptorsSpare;
  const flows = Math.min(workload.flows, Math.floor(room / (system.descriptorsPerFlow ?? 2)));
  const began = performance.now();
  const idle = rig.load({ work: 'idle', flows, seconds: 3_600, cpuOf: [] });
  try {
    await Promise.race([idle.connected, idle.report]);
    const deadline = Date.now() + idleConnectMsMax;
    for (let count = 0; (count = await arrived()) < flows;) {
      if (Date.now() > deadline) throw new ProcessError(`only ${count} of ${flows} flows came`);
      await sleep(50, undefined, { signal });
    }
    const seconds = (performance.now() - began) / 1_000;
    await sleep(settleMs, undefined, { signal });
    const after = await Promise.all(proxies.map(privateBytes));
    const left = await arrived();
    if (left < flows) throw new ProcessError(`only ${left} of ${flows} flows stayed`);
    const costs = after.map((bytes, index) => (bytes - (before[index] ?? 0)) / flows);
    const of = (side: string): number =>
      sumOf(costs.filter((_, index) => proxies[index]?.side === side));
    return {
      ...unmeasured, seconds, operations: flows, flows, flowBytes: sumOf(costs) / 2,
      flowBytesNear: of('near'), flowBytesFar: of('far'),
    };
  } finally {
    idle.end();
    await idle.report.catch(() => undefined);
  }
}

/** Private memory of a `node` that does nothing. */
async function bareNodeBytes({ ground, layout }: Rig): Promise<number> {
  const { stage, scratch } = ground;
  const program = stage.start(layout, scratch, 'bare-node', 'near',
    [process.execPath, '-e', 'setInterval(() => undefined, 1e9)']);
  try {
    await sleep(settleMs, undefined, { signal: ground.signal });
    return await privateBytes(program);
  } finally {
    await stage.end([program]);
  }
}

export async function measureRest(rig: Rig, { restSeconds }: RestWorkload): Promise<Measurement> {
  const { running: { proxies }, ground: { signal, binary } } = rig;
  const near = proxies.filter(({ side }) => side === 'near');
  if (near.length === 0) return { ...unmeasured, seconds: 0, operations: 0 };
  const bare = await bareNodeBytes(rig);
  await rig.rest();
  const waits = near.flatMap(({ readyMs }) => readyMs ?? []);
  const pids = near.map(({ pid }) => pid);
  const before = cpuSecondsOf(binary, pids);
  await sleep(restSeconds * 1_000, undefined, { signal });
  const spent = cpuSecondsOf(binary, pids) - before;
  const restBytes = sumOf(await Promise.all(near.map(privateBytes)));
  return {
    ...unmeasured, seconds: restSeconds, operations: 0, restBytes,
    ...(waits.length === 0 ? {} : { readyMs: Math.max(...waits) }),
    restOverNodeBytes: restBytes - bare, restCpuShare: spent / restSeconds,
  };
}
