/** What is done to a system in one cell of the table. Durations come from the run's options. */
import type { LayoutName } from './system.js';

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
  /** Workloads that the near proxy serves; default 1. */
  readonly identities?: number;
  /** `bytes`: only for systems that carry any bytes. `http`: for all. */
  readonly carries: 'bytes' | 'http';
  /** The systems it says something about; default: all that can carry it. */
  readonly systems?: readonly string[];
  /** Where it can be done; default: everywhere. */
  readonly layouts?: readonly LayoutName[];
  /** Whether a tunnel stays open when its last flow has ended; default true; only ours honour it. */
  readonly tunnelsKept?: boolean;
  /** The system is started for it, and ended after it; needed where history would show. */
  readonly fresh?: boolean;
  /** Least warm-up, seconds. */
  readonly warmupMin?: number;
  /** Part of `--quick`. */
  readonly quick?: boolean;
}

/**
 * One load on the system; the headline is bytes or operations per second; of an open loop, `open`,
 * the median latency.
 */
export interface LoadWorkload extends Said {
  readonly kind: 'bulk' | 'rate' | 'open';
  readonly work: 'upload' | 'download' | 'ping-pong' | 'connect-close' | 'http';
  readonly flows: number;
  readonly messageBytes?: number;
  /** Open loop: operations per second. */
  readonly rate?: number;
  /** Open loop: half of the slowest peer's rate in this workload of the same run. */
  readonly halfOf?: string;
  /** Source addresses taken in turn, where each connection has one; default 8. */
  readonly sources?: number;
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

/** What a proxy takes that has nothing to do, and how soon it is ready. */
export interface RestWorkload extends Said {
  readonly kind: 'rest';
  readonly restSeconds: number;
}

/** Flows that need a tunnel with a handshake of its own each. */
export interface ColdWorkload extends Said {
  readonly kind: 'cold';
  /** At a time. */
  readonly flows: number;
}

/** Live flows, alone and then beside new tunnels; the headline is their p99 beside them. */
export interface StormWorkload extends Said {
  readonly kind: 'storm';
  readonly messageBytes: number;
  readonly flows: number;
  /** Messages per second of all flows. */
  readonly rate: number;
  /** New tunnels per second. */
  readonly stormRate: number;
}

export type Workload = LoadWorkload | BesideWorkload | IdleWorkload | RestWorkload | ColdWorkload
  | StormWorkload;

/** Policies of the mesh where the row does not say. */
export const policiesUsual = 10;

/** Two hops that any bytes can pass. */
const twoHops = ['relay', 'relay-epoll', 'hbone', 'envoy-l4', 'envoy-connect', 'nginx-l4',
  'haproxy-l4', 'ztunnel', 'node-only'];
const sharded = ['direct', 'relay', 'hbone', 'envoy-connect', 'ztunnel'];

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
    kind: 'idle', carries: 'bytes', flows, fresh: true, systems: twoHops,
  };
}

/** More than any window has connections. */
const sourcesOfNewKeys = 60_000;

/** From known sources, and from another one each time, so that each flow has to be decided. */
function setUp(policies: number, keys: 'known' | 'new'): LoadWorkload {
  return connect(1, {
    ...(keys === 'known' ? {} : { sources: sourcesOfNewKeys, layouts: ['loopback'] }),
    name: keys === 'known' ? `setup-${policies}` : `setup-new-${policies}`, group: 'Flow set-up under policies', policies, systems: ['hbone'],
    warmupMin: 1,
    title: `connect, request, close with ${policies.toLocaleString('en')} policies, `
      + `${keys} flow keys`,
  });
}

/** GET of 1 KiB on kept connections: at maximum, or open loop. */
function http(flows: number, more: Partial<LoadWorkload> & { what?: string } = {}): LoadWorkload {
  const { what = 'at maximum', ...rest } = more;
  return {
    name: `http-${flows}`, group: 'HTTP/1.1', kind: 'rate', carries: 'http', work: 'http', flows,
    title: `GET 1 KiB, keep-alive, ${flows} ${flows === 1 ? 'connection' : 'connections'}, ${what}`,
    messageBytes: 1024, ...rest,
  };
}

const httpAtRate = (flows: number): LoadWorkload => http(flows, {
  name: `http-1000rps-${flows}`, kind: 'open', rate: 1_000, what: '1,000 requests per second',
});

const httpAtHalf = (flows: number): LoadWorkload => http(flows, {
  name: `http-half-${flows}`, kind: 'open', halfOf: `http-${flows}`,
  what: 'half of the slowest peer\'s maximum',
});

const httpFlows = [1, 16, 64];

/** Live and cached flows while the JavaScript of the same process is busy. */
const stalls: Pick<LoadWorkload, 'systems' | 'warmupMin' | 'group' | 'kind' | 'carries'
  | 'messageBytes'> = {
  systems: ['hbone', 'hbone-burdened', 'hbone-stalled'], warmupMin: 1.5,
  group: 'A busy JavaScript loop', kind: 'open', carries: 'bytes', messageBytes: 64,
};

/** Identities of clients of the near proxy, a listener each; a flow of each needs a new tunnel. */
const coldIdentities = 200;

const tunnels: readonly Workload[] = [
  {
    name: 'cold', title: 'cold tunnels, a new identity each, 16 at a time', group: 'Cold tunnels',
    kind: 'cold', carries: 'bytes', flows: 16, identities: coldIdentities,
    tunnelsKept: false, layouts: ['loopback'], systems: ['hbone', 'handshake-loop'],
  },
  {
    name: 'storm', group: 'Cold tunnels', kind: 'storm', carries: 'bytes', layouts: ['loopback'],
    title: 'ping-pong 64 B on 16 live flows, 2,000/s, beside 200 cold tunnels per second',
    flows: 16, messageBytes: 64, rate: 2_000, stormRate: 200, identities: coldIdentities,
    tunnelsKept: false, systems: ['hbone'],
  },
  {
    ...stalls, name: 'live-flows', work: 'ping-pong', flows: 16, rate: 2_000,
    title: 'ping-pong 64 B on 16 live flows, 2,000/s',
  },
  {
    ...stalls, name: 'cached-flows', work: 'connect-close', flows: 8, rate: 200,
    title: 'connect, request 64 B, close, known flow keys, 200/s',
  },
];

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
  ...httpFlows.map((flows) => http(flows, { quick: flows === 64 })),
  ...httpFlows.map(httpAtRate), ...httpFlows.map(httpAtHalf),
  ...tunnels,
  ...[0, 100, 10_000].flatMap((policies) => [setUp(policies, 'known'), setUp(policies, 'new')]),
  idle(5_000), idle(20_000),
  {
    name: 'rest', title: 'at rest, 10 workloads', group: 'Memory', kind: 'rest', carries: 'http',
    systems: [...twoHops, 'envoy-sidecar', 'nginx-sidecar', 'haproxy-sidecar'], identities: 10,
    fresh: true, restSeconds: 2,
  },
  ...[1, 2].flatMap((shards) => {
    const said = { group: 'Shards', shards, systems: sharded };
    const inWords = `${shards} ${shards === 1 ? 'shard' : 'shards'}`;
    return [
      bulk('upload', 16, { ...said, name: `bulk-up-16-shards-${shards}`,
        title: `bulk up, 16 flows, ${inWords}` }),
      pingPong(1, 64, { ...said, name: `ping-1b-64-shards-${shards}`,
        title: `ping-pong 1 B, 64 flows, ${inWords}` }),
    ];
  }),
];
