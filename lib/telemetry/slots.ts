import { labelKey, type TcpLabels } from './labels.js';

/** The counter block of the engine, read in place: [shards][slots][cells]. */
export interface CounterBlock {
  /** The same memory at every call, or a new view of it. */
  read(): BigUint64Array;
  readonly shards: number;
  readonly slots: number;
  readonly cells: readonly string[];
}

export interface SlotAllocatorOptions {
  block: CounterBlock;
  /** A series nobody uses goes after this long without change. */
  expiryMs: number;
  now?: () => number;
}

interface Slot {
  readonly index: number;
  readonly labels: TcpLabels;
  readonly key: string;
  uses: number;
  /** What the cells held when the slot was given out: native counters only rise. */
  readonly base: bigint[];
  /** For expiry: a digest of the cells when they were last seen to change, and when that was. */
  seen: bigint;
  seenMs: number;
}

/** One series: a label set and its counts since the series began. */
export interface Series {
  readonly labels: TcpLabels;
  /** By cell name. */
  count(cell: string): number;
}

/** The slot whose counts belong to no label set in particular. */
export const overflowSlot = 0;

/**
 * Maps label sets to slots of the engine's counter block, so that counting costs no call. The block
 * bounds the series: what finds no free slot counts in slot 0, and is itself counted. A slot is free again
 * once nobody uses it, it has no live flow, and it did not change for the expiry time.
 */
export class SlotAllocator {
  readonly #block: CounterBlock;
  readonly #expiryMs: number;
  readonly #now: () => number;
  readonly #byKey = new Map<string, Slot>();
  readonly #byIndex: (Slot | undefined)[] = [];
  readonly #free: number[] = [];
  #next = overflowSlot + 1;
  #expired = 0;
  #refused = 0;
  #sweptMs = 0;

  constructor(options: SlotAllocatorOptions) {
    this.#block = options.block;
    this.#expiryMs = options.expiryMs;
    this.#now = options.now ?? Date.now;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Series that expired so far. */
  get expired(): number {
    return this.#expired;
  }

  /** Label sets that were sent to the overflow slot so far. */
  get refused(): number {
    return this.#refused;
  }

  /** The slot of a label set; stays its own until as many `release`s. */
  acquire(labels: TcpLabels): number {
    const key = labelKey(labels);
    let slot = this.#byKey.get(key);
    if (slot === undefined) {
      const index = this.#take();
      if (index === undefined) {
        this.#refused += 1;
        return overflowSlot;
      }
      const cells = this.#cells(index);
      slot = { index, labels, key, uses: 0, base: cells, seen: digest(cells), seenMs: this.#now() };
      this.#byKey.set(key, slot);
      this.#byIndex[index] = slot;
    }
    slot.uses += 1;
    return slot.index;
  }

  release(index: number): void {
    const slot = this.#byIndex[index];
    if (slot === undefined || slot.uses === 0) return;
    slot.uses -= 1;
    if (slot.uses === 0) slot.seenMs = this.#now();
  }

  /** Frees the slots of series that are over. Called before every reading; cheap to call often. */
  sweep(): void {
    const now = this.#now();
    this.#sweptMs = now;
    for (const slot of this.#byKey.values()) {
      const cells = this.#cells(slot.index);
      const seen = digest(cells);
      if (seen !== slot.seen) {
        slot.seen = seen;
        slot.seenMs = now;
      }
      if (slot.uses > 0 || now - slot.seenMs < this.#expiryMs) continue;
      if (this.#activeOf(cells) !== 0n) continue;
      this.#byKey.delete(slot.key);
      this.#byIndex[slot.index] = undefined;
      this.#free.push(slot.index);
      this.#expired += 1;
    }
  }

  /** All series now. The counts are read when asked for. */
  *series(): IterableIterator<Series> {
    for (const slot of this.#byKey.values()) {
      const cells = this.#cells(slot.index);
      yield { labels: slot.labels, count: (cell) => this.#count(cells, slot.base, cell) };
    }
  }

  /** Counts without a series of their own. */
  overflow(): (cell: string) => number {
    const cells = this.#cells(overflowSlot);
    return (cell) => this.#count(cells, [], cell);
  }

  #count(cells: readonly bigint[], base: readonly bigint[], cell: string): number {
    const at = this.#block.cells.indexOf(cell);
    // A gauge holds what is live, whoever started it.
    const from = cell === 'active' ? 0n : base[at] ?? 0n;
    return Number(BigInt.asIntN(64, (cells[at] ?? 0n) - from));
  }

  #activeOf(cells: readonly bigint[]): bigint {
    return BigInt.asIntN(64, cells[this.#block.cells.indexOf('active')] ?? 0n);
  }

  #take(): number | undefined {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#next < this.#block.slots) return this.#next++;
    // Full: look for expired ones, though not for every label set of a flood.
    if (this.#now() - this.#sweptMs >= 1_000) this.sweep();
    return this.#free.pop();
  }

  #cells(index: number): bigint[] {
    const { shards, slots, cells } = this.#block;
    const block = this.#block.read();
    const sums = new Array<bigint>(cells.length).fill(0n);
    for (let shard = 0; shard < shards; shard++) {
      const row = (shard * slots + index) * cells.length;
      for (let i = 0; i < cells.length; i++) sums[i] = (sums[i] ?? 0n) + (block[row + i] ?? 0n);
    }
    return sums;
  }
}

/** Differs when a flow ends: one cell falls as another rises. */
function digest(cells: readonly bigint[]): bigint {
  return cells.reduce((total, cell, index) => total + cell * BigInt(index + 1), 0n);
}
