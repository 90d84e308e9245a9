import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { Engine, type FlowSummary } from 'onehop';

import { sample, type Effort, type MicroRow } from './sample.js';
import type { Dial } from './upcall_dialler.js';

const atOnce = [1, 64];
const answerMs = 10_000;

/** From the shard's question to the verdict in its cache, as the flight recorder saw it. */
function roundTripUs({ events }: FlowSummary): number {
  const at = (name: string): number | undefined =>
    events.find(({ event }) => event === name)?.atUs;
  const asked = at('upcall');
  const answered = at('verdict');
  if (asked === undefined || answered === undefined) throw new Error('a flow without an upcall');
  return answered - asked;
}

class Asking {
  readonly #engine: Engine;
  readonly #worker: Worker;
  readonly #port: number;
  #ended: FlowSummary[] = [];
  #enough: (() => void) | undefined;
  #wanted = 0;
  #source = 0;

  constructor() {
    this.#engine = Engine.start({}, {
      decide: () => ({ allow: false }),
      summaries: (ended) => {
        this.#ended.push(...ended);
        if (this.#ended.length >= this.#wanted) this.#enough?.();
      },
    });
    const { address } = this.#engine.listen({ kind: 'forward', address: '127.0.0.1:0' });
    this.#port = Number(address.split(':').at(-1));
    this.#worker = new Worker(join(import.meta.dirname, 'upcall_dialler.js'));
  }

  /** So many new flow keys at once; the mean round trip, microseconds. */
  async meanUs(keys: number): Promise<number> {
    this.#ended = [];
    this.#wanted = keys;
    const all = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('an upcall without a verdict')), answerMs);
      this.#enough = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    const dial: Dial = {
      port: this.#port, sources: Array.from({ length: keys }, () => this.#nextSource()),
    };
    this.#worker.postMessage(dial);
    await all;
    return this.#ended.reduce((sum, flow) => sum + roundTripUs(flow), 0) / keys;
  }

  async stop(): Promise<void> {
    this.#engine.stop();
    await this.#worker.terminate();
  }

  /** Another one each time, 127.1.0.1 to 127.250.255.254. */
  #nextSource(): string {
    const index = this.#source;
    this.#source += 1;
    const last = index % 254 + 1;
    const rest = Math.floor(index / 254);
    return `127.${Math.floor(rest / 256) % 250 + 1}.${rest % 256}.${last}`;
  }
}

export async function measureUpcalls(effort: Effort, chosen: (name: string) => boolean,
  done: (row: MicroRow) => void): Promise<void> {
  const names = atOnce.map((keys) => [keys, keys === 1 ? 'upcall and verdict, one new key'
    : `upcall and verdict, ${keys} new keys at once, mean`] as const);
  if (!names.some(([, name]) => chosen(name))) return;
  const asking = new Asking();
  try {
    for (const [keys, name] of names) {
      if (!chosen(name)) continue;
      // Most of a sample is making connections, which is not counted: samples, not seconds.
      const samplesMin = Math.max(effort.samplesMin, Math.ceil(400 * effort.seconds / keys));
      done(await sample({ group: 'Upcall', name },
        async () => ({ nanos: await asking.meanUs(keys) * 1000, operations: 1 }),
        { ...effort, seconds: 0, samplesMin }));
    }
  } finally {
    await asking.stop();
  }
}
