import type { ResultRecord, RunRecord, SetupRecord } from '../../../bench/suite/runner.js';

export type Values = NonNullable<RunRecord['measured']>;

export const setup: SetupRecord = {
  kind: 'setup', cpu: 'Test CPU', processors: 2, memoryBytes: 8 * 2 ** 30, kernel: '6.1',
  congestion: 'reno', node: 'v24.1.0', openssl: '3.5.1', vectorisedGcm: true,
  onehop: '0.1.0', commit: 'abcdef012345', date: '2026-01-02T03:04:05.000Z', rounds: 8, seconds: 1, warmupSeconds: 0.1,
  pinning: { near: '0', far: '1' },
};

export function system(name: string, absent?: string): ResultRecord {
  return {
    kind: 'system', name, path: `path of ${name}`, layout: 'loopback',
    ...(absent === undefined ? { version: `${name} 1.0` } : { absent }),
  };
}

const nothing: Values = {
  seconds: 1, operations: 1, failures: 0, corrupt: 0, firstError: '', clientShare: 0.3,
  serverShare: 0.2,
};

/** A workload on a system, `rounds` times; odd rounds are 1 % above, even ones 1 % below. */
export function runs(workload: string, name: string, rounds: number, values: Partial<Values>):
ResultRecord[] {
  return Array.from({ length: rounds }, (_, index): ResultRecord => {
    const noise = index % 2 === 0 ? 1.01 : 0.99;
    const noisy = Object.fromEntries(Object.entries(values).map(([key, value]) =>
      [key, typeof value === 'number' && !/Share|failures|corrupt/.test(key) ? value * noise
        : value]));
    return {
      kind: 'run', layout: 'loopback', workload, system: name, round: index + 1,
      measured: { ...nothing, ...noisy },
    };
  });
}

export const failed = (workload: string, name: string, error: string): ResultRecord =>
  ({ kind: 'run', layout: 'loopback', workload, system: name, round: 1, error });

/** HTTP, bulk and ping-pong where the sidecars take 4 x the CPU of the relay, and hbone 1.5 x. */
export function wholeRun(rounds: number): ResultRecord[] {
  const cost: readonly (readonly [string, number])[] =
    [['direct', 0], ['relay', 20], ['hbone', 30], ['envoy-sidecar', 80], ['envoy-l4', 60]];
  return [
    { ...setup, rounds }, ...cost.map(([name]) => system(name)),
    ...cost.flatMap(([name, cpu]) => {
      const rate = 1e6 / (cpu + 10);
      const http = { rate, cpuUsPerOperation: cpu, p50Us: 100 + cpu, p99Us: 200 + cpu,
        proxyCpuSeconds: rate * cpu / 1e6 };
      return [
        ...runs('http-1', name, rounds, { ...http, rate: rate / 10 }),
        ...runs('http-64', name, rounds, http),
        ...name === 'envoy-sidecar' ? [] : [
          ...runs('bulk-up-16', name, rounds, { throughput: 1e11 / (cpu + 20),
            cpuSecondsPerGb: cpu / 20, proxyCpuSeconds: 1.5 }),
          ...runs('ping-1b-1', name, rounds, http), ...runs('ping-1b-64', name, rounds, http),
        ],
      ];
    }),
  ];
}
