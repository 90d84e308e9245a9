import type { Handle, Upcall, Verdict } from './contract.js';
import type { Answer } from './options.js';
import { verdictOf } from './options.js';

export type Decide = (upcall: Upcall) => Answer | Promise<Answer>;

export interface DeciderEvents {
  /** Hands verdicts to the engine; throws when one of them is unusable, and then applied none. */
  publish(verdicts: readonly Verdict[]): void;
  /** A decision that threw, or came out unusable: the flow is denied with `internal`. */
  failed(upcall: Upcall, thrown: unknown): void;
}

/**
 * Turns upcalls into verdicts. Those decided in the same tick travel in one call. Remembers which
 * keys the engine holds, so that all can be decided again; its flow cache bounds that table.
 */
export class Decider {
  #generation = 1;
  readonly #decide: Decide;
  readonly #events: DeciderEvents;
  readonly #known = new Map<number, Map<Handle, Upcall>>();
  #ready: { verdict: Verdict; upcall: Upcall }[] = [];
  #scheduled = false;

  constructor(decide: Decide, events: DeciderEvents) {
    this.#decide = decide;
    this.#events = events;
  }

  /** What a verdict without a generation of its own is decided at. */
  get generation(): number {
    return this.#generation;
  }

  ask(upcalls: readonly Upcall[]): void {
    for (const upcall of upcalls) {
      let keys = this.#known.get(upcall.shard);
      if (keys === undefined) this.#known.set(upcall.shard, keys = new Map<Handle, Upcall>());
      keys.set(upcall.key, upcall);
      void this.#answer(upcall);
    }
    this.#flush();
  }

  forget(evicted: readonly (readonly [number, Handle])[]): void {
    for (const [shard, key] of evicted) this.#known.get(shard)?.delete(key);
  }

  /** Every key the engine may still hold. */
  *known(): IterableIterator<Upcall> {
    for (const keys of this.#known.values()) yield* keys.values();
  }

  /** Decides every known key again at a new generation; resolves when all are published. */
  async revalidate(): Promise<void> {
    this.#generation += 1;
    const pending = [...this.known()].map((upcall) => this.#answer(upcall));
    this.#flush();
    await Promise.all(pending);
    this.#flush();
  }

  #answer(upcall: Upcall): Promise<void> | undefined {
    const generation = this.#generation;
    const done = (answer: Answer): void => {
      this.#ready.push({ verdict: verdictOf(upcall, upcall.kind, answer, generation), upcall });
    };
    const failed = (thrown: unknown): void => this.#deny(upcall, generation, thrown);
    try {
      const answer = this.#decide(upcall);
      if (!(answer instanceof Promise)) {
        done(answer);
        return undefined;
      }
      return answer.then(done).catch(failed).then(() => this.#schedule());
    } catch (thrown) {
      failed(thrown);
      return undefined;
    }
  }

  #deny(upcall: Upcall, generation: number, thrown: unknown): void {
    const answer: Answer = { allow: false, reason: 'internal' };
    const verdict = verdictOf(upcall, upcall.kind, answer, generation);
    this.#ready.push({ verdict, upcall });
    this.#events.failed(upcall, thrown);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const ready = this.#ready;
    if (ready.length === 0) return;
    this.#ready = [];
    try {
      this.#events.publish(ready.map(({ verdict }) => verdict));
    } catch (thrown) {
      if (ready.length === 1) this.#refused(ready[0], thrown);
      else for (const one of ready) this.#publishOne(one);
    }
  }

  #publishOne(one: { verdict: Verdict; upcall: Upcall }): void {
    try {
      this.#events.publish([one.verdict]);
    } catch (thrown) {
      this.#refused(one, thrown);
    }
  }

  /** The engine cannot use this verdict: fail closed. */
  #refused(one: { verdict: Verdict; upcall: Upcall } | undefined, thrown: unknown): void {
    if (one === undefined) return;
    this.#events.failed(one.upcall, thrown);
    if (!one.verdict.allow) return;
    const answer: Answer = { allow: false, reason: 'internal' };
    const verdict = verdictOf(one.upcall, one.upcall.kind, answer, one.verdict.generation);
    this.#publishOne({ verdict, upcall: one.upcall });
  }
}
