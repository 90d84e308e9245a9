import type { Registry } from 'prom-client';

import type { SlotAllocator } from './slots.js';

export interface Reading {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly read: () => number;
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * All that a scrape shows. Counters and gauges are read at the scrape and hold no values of their own;
 * what writes them as text is loaded by the first one.
 */
export class Metrics {
  /** Of `text()`: Prometheus, version 0.0.4. */
  readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';
  readonly #slots: SlotAllocator;
  readonly #readings = new Map<string, Reading[]>();
  #registry: Promise<Registry> | undefined;

  constructor(slots: SlotAllocator) {
    this.#slots = slots;
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
    this.#registry = undefined;
    for (const reading of readings) {
      const same = this.#readings.get(reading.name);
      if (same === undefined) this.#readings.set(reading.name, [reading]);
      else same.push(reading);
    }
  }

  /** What a scrape gets. Rejects when two metrics cannot stand beside each other. */
  async text(): Promise<string> {
    this.#slots.sweep();
    this.#registry ??= this.#open();
    return (await this.#registry).metrics();
  }

  async #open(): Promise<Registry> {
    const { registryOf } = await import('./exposition.js');
    return registryOf(this.#slots, this.#readings.values());
  }
}
