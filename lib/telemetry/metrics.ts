import {
  Counter, Gauge, Registry, type MetricObjectWithValues, type MetricValue,
} from 'prom-client';

import { localityLabelNames, overflowLabels, tcpLabelNames, type TcpLabels } from './labels.js';
import type { SlotAllocator } from './slots.js';

/** `response_flags` and the cell that counts the flows closed with it. */
const closedCells = [
  ['-', 'closed'], ['DENY', 'closedDenied'], ['CONNECT', 'closedConnect'],
  ['TLS_FAILURE', 'closedTls'], ['H2_HANDSHAKE_FAILURE', 'closedH2'],
  ['NETWORK_POLICY', 'closedNetworkPolicy'], ['IDENTITY_ERROR', 'closedIdentity'],
] as const;

type Read = () => number;

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
    name: 'istio_tcp_connections_failed_total', sparse: true, cells: closedCells.slice(1),
    help: 'The total number of TCP connections that failed (unstable)',
  },
];

type Sample = MetricValue<string> & { sharedLabels?: TcpLabels };

/** A counter whose samples are read from the counter block when somebody scrapes. */
class BlockCounter extends Counter {
  readonly #family: TcpFamily;
  readonly #slots: SlotAllocator;

  constructor(family: TcpFamily, slots: SlotAllocator) {
    super({
      name: family.name, help: family.help, registers: [],
      labelNames: [...tcpLabelNames, 'response_flags', ...localityLabelNames],
    });
    this.#family = family;
    this.#slots = slots;
  }

  override async get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    const values: Sample[] = [];
    const add = (labels: TcpLabels, count: (cell: string) => number, sparse: boolean): void => {
      for (const [flags, cell] of this.#family.cells) {
        const value = count(cell);
        if (value === 0 && sparse) continue;
        // The client keeps the text of shared labels, so that a scrape need not build it anew.
        values.push({ labels: { response_flags: flags }, sharedLabels: labels, value });
      }
    };
    for (const { labels, count } of this.#slots.series()) add(labels, count, this.#family.sparse);
    add(overflowLabels, this.#slots.overflow(), true);
    return { ...await super.get(), values };
  }
}

export interface Reading {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly read: Read;
  readonly labels?: Readonly<Record<string, string>>;
}

/** All that a scrape shows. Counters and gauges are read at the scrape and hold no values of their own. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #slots: SlotAllocator;
  readonly #readings = new Map<string, Reading[]>();

  constructor(slots: SlotAllocator) {
    this.#slots = slots;
    for (const family of tcpFamilies) {
      this.#registry.registerMetric(new BlockCounter(family, slots));
    }
    this.add([
      {
        name: 'onehop_series', type: 'gauge', help: 'Label sets with series of their own',
        read: () => slots.size,
      },
      {
        name: 'onehop_series_expired_total', type: 'counter', help: 'Label sets that expired',
        read: () => slots.expired,
      },
      {
        name: 'onehop_series_overflow_total', type: 'counter',
        help: 'Label sets that found no room and are counted together', read: () => slots.refused,
      },
    ]);
  }

  /** Adds counters and gauges; those of one name share a family and differ in labels. */
  add(readings: readonly Reading[]): void {
    for (const reading of readings) {
      const same = this.#readings.get(reading.name);
      if (same !== undefined) {
        same.push(reading);
        continue;
      }
      const family = [reading];
      this.#readings.set(reading.name, family);
      this.#register(reading, family);
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The Prometheus text format, 0.0.4. */
  text(): Promise<string> {
    this.#slots.sweep();
    return this.#registry.metrics();
  }

  #register({ name, help, type, labels }: Reading, family: readonly Reading[]): void {
    const labelNames = Object.keys(labels ?? {});
    if (type === 'counter') {
      this.#registry.registerMetric(new Counter({
        name, help, labelNames, registers: [],
        collect() {
          this.reset();
          for (const one of family) this.inc(one.labels ?? {}, Math.max(one.read(), 0));
        },
      }));
    } else {
      this.#registry.registerMetric(new Gauge({
        name, help, labelNames, registers: [],
        collect() {
          for (const one of family) this.set(one.labels ?? {}, one.read());
        },
      }));
    }
  }
}
