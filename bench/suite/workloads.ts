/** What is done to a system in one cell of the table. Durations come from the run's options. */

interface Said {
  /** As on the command line. */
  readonly name: string;
  /** One line for the report. */
  readonly title: string;
  /** Heading in the report. */
  readonly group: string;
  /** Worker threads per proxy; default 1. */
  readonly shards?: number;
  /** Policies of the mesh; default `policiesUsual`. */
  readonly policies?: number;
  /** `http`: what cannot be asked of a system that carries bytes only is nothing; all can. */
  readonly carries: 'bytes' | 'http';
  /** Longest measured window, seconds: for work that uses something up. */
  readonly secondsMax?: number;
  /** Part of `--quick`. */
  readonly quick?: boolean;
}

/** One load on the system; the headline is bytes or operations per second. */
export interface LoadWorkload extends Said {
  readonly kind: 'bulk' | 'rate';
  readonly work: 'upload' | 'download' | 'ping-pong' | 'connect-close' | 'http';
  readonly flows: number;
  readonly messageBytes?: number;
  /** Open loop, operations per second; `half`: half of the slowest peer's rate in `halfOf`. */
  readonly rate?: number;
  readonly halfOf?: string;
}

/** A ping-pong on one flow beside bulk flows; the headline is its p50. */
export interface BesideWorkload extends Said {
  readonly kind: 'beside';
  readonly messageBytes: number;
  readonly bulkFlows: number;
}

/** Private memory of the proxies per flow that does nothing. */
export interface IdleWorkload extends Said {
  readonly kind: 'idle';
  readonly flows: number;
}

export type Workload = LoadWorkload | BesideWorkload | IdleWorkload;

/** Policies of the mesh where the row does not say. */
export const policiesUsual = 10;

function bulk(work: 'upload' | 'download', flows: number, more: Partial<LoadWorkload> = {}):
LoadWorkload {
  const way = work === 'upload' ? 'up' : 'down';
  return {
    name: `bulk-${way}-${flows}`, title: `bulk ${way}, ${flows} ${flows === 1 ? 'flow' : 'flows'}`,
    group: 'Bulk', kind: 'bulk', carries: 'bytes', work, flows, ...more,
  };
}

function pingPong(messageBytes: number, flows: number, more: Partial<LoadWorkload> = {}):
LoadWorkload {
  const size = messageBytes === 1024 ? '1k' : `${messageBytes}b`;
  return {
    name: `ping-${size}-${flows}`, group: 'Ping-pong', kind: 'rate', carries: 'bytes',
    title: `ping-pong ${messageBytes === 1024 ? '1 KiB' : `${messageBytes} B`}, `
      + `${flows} ${flows === 1 ? 'flow' : 'flows'}`,
    work: 'ping-pong', flows, messageBytes, ...more,
  };
}

function connect(flows: number, more: Partial<LoadWorkload> = {}): LoadWorkload {
  return {
    name: `connect-${flows}`, title: `connect, request 64 B, close; ${flows} at a time`,
    group: 'Connections', kind: 'rate', carries: 'bytes', work: 'connect-close', flows,
    messageBytes: 64, ...more,
  };
}

function idle(flows: number): IdleWorkload {
  return {
    name: `idle-${flows}`, title: `${flows.toLocaleString('en')} idle flows`, group: 'Memory',
    kind: 'idle', carries: 'bytes', flows,
  };
}

function setUp(policies: number): LoadWorkload {
  return connect(1, {
    name: `setup-${policies}`, group: 'Flow set-up under policies', policies,
    title: `connect, request, close with ${policies.toLocaleString('en')} policies`,
  });
}

/** Every workload, in the order of the tables. */
export const workloads: readonly Workload[] = [
  bulk('upload', 1, { quick: true }), bulk('upload', 16), bulk('download', 1),
  bulk('download', 16, { quick: true }),
  pingPong(1, 1, { quick: true }), pingPong(1, 64, { quick: true }), pingPong(1, 512),
  pingPong(1024, 1), pingPong(1024, 64), pingPong(1024, 512),
  {
    name: 'ping-beside-bulk', title: 'ping-pong 64 B on 1 flow beside 16 bulk uploads',
    group: 'Ping-pong', kind: 'beside', carries: 'bytes', messageBytes: 64, bulkFlows: 16,
  },
  connect(1), connect(32, { quick: true }),
  setUp(0), setUp(100), setUp(10_000),
  idle(5_000), idle(20_000),
  bulk('upload', 16, { name: 'bulk-up-16-shards-1', group: 'Shards', shards: 1,
    title: 'bulk up, 16 flows, 1 shard' }),
  bulk('upload', 16, { name: 'bulk-up-16-shards-2', group: 'Shards', shards: 2,
    title: 'bulk up, 16 flows, 2 shards' }),
  pingPong(1, 64, { name: 'ping-1b-64-shards-1', group: 'Shards', shards: 1,
    title: 'ping-pong 1 B, 64 flows, 1 shard' }),
  pingPong(1, 64, { name: 'ping-1b-64-shards-2', group: 'Shards', shards: 2,
    title: 'ping-pong 1 B, 64 flows, 2 shards' }),
];
