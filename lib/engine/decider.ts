import type { Handle, Upcall, Verdict } from './contract.js';
import { failure } from './error.js';
import type { Answer } from './options.js';
import { checkedAnswer, verdictOf } from './options.js';
import { publishEach } from './publisher.js';

/**
 * Decides about a flow key that was not decided yet. It may take its time: the flow waits for
 * `upcallTimeoutMs`, and other keys do not wait for it. What throws, rejects or answers something
 * else denies the key with `internal`.
 */
export type Decide = (upcall: Upcall) => Answer | Promise<Answer>;

export interface DeciderEvents {
  /** How long `revalidate` waits for an answer before the key is denied, milliseconds. */
  readonly timeoutMs: number;
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

  /**
   * Decides every known key again at a new generation; resolves when all are published. A key whose
   * answer does not come in time is denied until it does.
   */
  async revalidate(): Promise<void> {
    this.#generation += 1;
    const pending = [...this.known()].map((upcall) => this.#inTime(upcall, this.#answer(upcall)));
    this.#flush();
    await Promise.all(pending);
    this.#flush();
  }

  #answer(upcall: Upcall): Promise<void> | undefined {
    const generation = this.#generation;
    const done = (answer: unknown): void => {
      const verdict = verdictOf(upcall, upcall.kind, checkedAnswer(answer), generation);
      this.#ready.push({ verdict, upcall });
    };
    const failed = (thrown: unknown): void => this.#deny(upcall, generation, 'internal', thrown);
    try {
      const answer: unknown = this.#decide(upcall);
      if (!isThenable(answer)) {
        done(answer);
        return undefined;
      }
      return Promise.resolve(answer).then(done).catch(failed).then(() => this.#schedule());
    } catch (thrown) {
      failed(thrown);
      return undefined;
    }
  }

  #inTime(upcall: Upcall, answered: Promise<void> | undefined): Promise<void> | undefined {
    if (answered === undefined) return undefined;
    const generation = this.#generation;
    const { timeoutMs } = this.#events;
    return new Promise((settled) => {
      const timer = setTimeout(() => {
        const late = failure('decide again', 'upcall-timeout', 0, `no answer in ${timeoutMs} ms`);
        this.#deny(upcall, generation, 'upcall-timeout', late);
        settled();
      }, timeoutMs);
      void answered.then(() => {
        clearTimeout(timer);
        settled();
      });
    });
  }

  #deny(upcall: Upcall, generation: number, reason: 'internal' | 'upcall-timeout',
    thrown: unknown): void {
    const verdict = verdictOf(upcall, upcall.kind, { allow: false, reason }, generation);
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
    publishEach(ready.map(({ verdict }) => verdict), {
      publish: (verdicts) => this.#events.publish(verdicts),
      refused: (refused, thrown) => {
        const one = ready.find(({ verdict }) => verdict === refused);
        if (one !== undefined) this.#events.failed(one.upcall, thrown);
      },
    });
  }
}

function isThenable(answer: unknown): answer is PromiseLike<unknown> {
  return typeof (Object(answer) as { then?: unknown }).then === 'function';
}
