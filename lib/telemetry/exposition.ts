import {
  Counter, Gauge, Registry, type MetricObjectWithValues, type MetricValue,
} from 'prom-client';

import {
  localityLabelNames, overflowLabels, tcpLabelNames, withFlags, type TcpLabels,
} from './labels.js';
import type { Reading } from './metrics.js';
import type { SlotAllocator } from './slots.js';

/** `response_flags` and the cell that counts the flows closed with it. */
const closedCells = [
  ['-', 'closed'], ['DENY', 'closedDenied'], ['CONNECT', 'closedConnect'],
  ['TLS_FAILURE', 'closedTls'], ['H2_HANDSHAKE_FAILURE', 'closedH2'],
  ['NETWORK_POLICY', 'closedNetworkPolicy'], ['IDENTITY_ERROR', 'closedIdentity'],
] as const;

const failedCells = closedCells.slice(1);

const closedWellBefore = new WeakMap<TcpLabels, number>();

/** Cells are read one after the other while they count, and a counter must never fall. */
function closedWell(labels: TcpLabels, count: (cell: string) => number): number {
  const now = failedCells.reduce((left, [, cell]) => left - count(cell), count('closed'));
  const value = Math.max(now, closedWellBefore.get(labels) ?? 0);
  closedWellBefore.set(labels, value);
  return value;
}

interface TcpFamily {
  readonly name: string;
  readonly help: string;
  readonly cells: readonly (readonly [flags: string, cell: string])[];
  /** Samples of zero are left out: most flows fail in no way at all. */
  readonly sparse: boolean;
}

const tcpFamilies: readonly TcpFamily[] = [
  {
    name: 'istio_tcp_connections_opened_total', sparse: false, cells: [['-', 'opened']],
    help: 'The total number of TCP connections opened',
  },
  {
    name: 'istio_tcp_connections_closed_total', sparse: true, cells: closedCells,
    help: 'The total number of TCP connections closed',
  },
  {
    name: 'istio_tcp_received_bytes_total', sparse: false, cells: [['-', 'bytesUp']],
    help: 'The size of total bytes received during request in case of a TCP connection',
  },
  {
    name: 'istio_tcp_sent_bytes_total', sparse: false, cells: [['-', 'bytesDown']],
    help: 'The size of total bytes sent during response in case of a TCP connection',
  },
  {
    name: 'istio_tcp_connections_failed_total', sparse: true, cells: failedCells,
    help: 'The total number of TCP connections that failed (unstable)',
  },
];

/** Label sets with their flags, one object each: the client keeps the text of every object. */
const flaggedSets = new WeakMap<TcpLabels, Map<string, TcpLabels>>();

function flagged(labels: TcpLabels, flags: string): TcpLabels {
  let byFlags = flaggedSets.get(labels);
  if (byFlags === undefined) flaggedSets.set(labels, byFlags = new Map<string, TcpLabels>());
  let set = byFlags.get(flags);
  if (set === undefined) byFlags.set(flags, set = withFlags(labels, flags));
  return set;
}

type Sample = MetricValue<string> & { sharedLabels?: TcpLabels };

/** A counter whose samples are read from the counter block when somebody scrapes. */
class BlockCounter extends Counter {
  readonly #family: TcpFamily;
  readonly #slots: SlotAllocator;

  constructor(family: TcpFamily, slots: SlotAllocator) {
    super({
      name: family.name, help: family.help, registers: [],
      labelNames: [...tcpLabelNames, ...localityLabelNames],
    });
    this.#family = family;
    this.#slots = slots;
  }

  override async get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    const values: Sample[] = [];
    const add = (labels: TcpLabels, count: (cell: string) => number, sparse: boolean): void => {
      for (const [flags, cell] of this.#family.cells) {
        // The engine counts a flow that failed in both cells; it shows under its flags alone.
        const value = cell === 'closed' ? closedWell(labels, count) : count(cell);
        if (value === 0 && sparse) continue;
        values.push({ labels: {}, sharedLabels: flagged(labels, flags), value });
      }
    };
    for (const { labels, count } of this.#slots.series()) add(labels, count, this.#family.sparse);
    add(overflowLabels, this.#slots.overflow(), true);
    return { ...await super.get(), values };
  }
}

function metricOf(
  family: readonly Reading[], { name, help, type, labels }: Reading,
): Counter | Gauge {
  const labelNames = Object.keys(labels ?? {});
  if (type === 'counter') {
    return new Counter({
      name, help, labelNames, registers: [],
      collect() {
        this.reset();
        for (const one of family) this.inc(one.labels ?? {}, Math.max(one.read(), 0));
      },
    });
  }
  return new Gauge({
    name, help, labelNames, registers: [],
    collect() {
      for (const one of family) this.set(one.labels ?? {}, one.read());
    },
  });
}

/** A registry of the traffic's families and of `families`, each with one name. */
export function registryOf(slots: SlotAllocator, families: Iterable<readonly Reading[]>): Registry {
  const registry = new Registry();
  for (const family of tcpFamilies) registry.registerMetric(new BlockCounter(family, slots));
  for (const family of families) {
    const [first] = family;
    if (first !== undefined) registry.registerMetric(metricOf(family, first));
  }
  return registry;
}
