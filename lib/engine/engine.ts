import { closeSync } from 'node:fs';

import type {
  CredentialInfo, CredentialSpec, Delivery, EngineOptions, EventBatch, FlowFacts, FlowSummary,
  Handle, Listening, NativeAddon, NativeEngine, Notice, TunnelFacts, Upcall, Verdict,
} from './contract.js';
import { counterCells, engineCells } from './contract.js';
import { Decider } from './decider.js';
import type { Decide } from './decider.js';
import { failure, listenFailure, translated } from './error.js';
import type { EngineError } from './error.js';
import { FlowSockets } from './flow_socket.js';
import type { FlowSocket } from './flow_socket.js';
import { loadAddon } from './loader.js';
import { endpointOf, engineOptions, listenSpecOf } from './options.js';
import type { EndpointInput, ListenInput } from './options.js';
import { unpacked } from './packed.js';
import { publishEach } from './publisher.js';

/** What an embedder hears. None may throw; what does is passed to `failed`. */
export interface EngineHandlers {
  /** Decides a flow key once; the verdict is cached until the key is evicted. Default: deny. */
  decide?: Decide;
  /** Ended flows, in the order they ended on their shard; which, says summarizeComplete(). */
  summaries?(ended: readonly FlowSummary[]): void;
  /** Connections that failed before there was a flow on them. */
  notices?(failed: readonly Notice[]): void;
  /** A flow whose endpoint is `local`. Without this handler such a flow is closed. */
  deliver?(socket: FlowSocket, delivery: Omit<Delivery, 'fd'>): void;
  evicted?(keys: readonly (readonly [number, Handle])[]): void;
  /** A handler or a decision failed. Default: a process warning. */
  failed?(error: EngineError): void;
}

export interface DialInput {
  endpoint: EndpointInput;
  /** Path of a network namespace to dial in; '' is our own. */
  netns?: string;
  mark?: number;
  signal?: AbortSignal;
}

export type CounterTotals = Record<(typeof counterCells)[number], number>;
export type EngineTotals = Record<(typeof engineCells)[number], number>;

/** Sums one cell row over all shards. */
function totals<Cell extends string>(cells: BigUint64Array, names: readonly Cell[], shards: number,
  stride: number, offset: number): Record<Cell, number> {
  const sums = names.map((name, index) => {
    let sum = 0n;
    for (let shard = 0; shard < shards; shard += 1) {
      sum += cells[shard * stride + offset + index] ?? 0n;
    }
    return [name, Number(BigInt.asIntN(64, sum))] as const;
  });
  return Object.fromEntries(sums) as Record<Cell, number>;
}

const denyAll: Decide = () => ({ allow: false, reason: 'unknown-destination' });

/**
 * The native engine: shard threads that carry flows, asked about each new flow key once.
 *
 * It holds the process open while it listens or a request is under way, as a server of Node does;
 * `unref()` gives that up. Methods throw `EngineError`: `ERR_ONEHOP_ARGUMENT` for a value it cannot
 * use, `ERR_ONEHOP_LOCAL_CLOSED` once stopped.
 */
export class Engine implements AsyncDisposable {
  readonly options: EngineOptions;
  readonly #native: NativeEngine;
  readonly #handlers: EngineHandlers;
  readonly #decider: Decider;
  readonly #sockets = new FlowSockets();
  readonly #listening = new Set<Handle>();
  #requests = 0;
  #referenced = true;
  #stopped = false;

  private constructor(options: Partial<EngineOptions>, handlers: EngineHandlers,
    addon: NativeAddon) {
    this.options = engineOptions(options);
    this.#handlers = handlers;
    this.#decider = new Decider(handlers.decide ?? denyAll, {
      timeoutMs: this.options.upcallTimeoutMs,
      publish: (verdicts) => this.publish(verdicts),
      failed: (upcall, thrown) => this.#decisionFailed(upcall, thrown),
    });
    const attempt = (): NativeEngine => addon.start(this.options, (batch) => this.#onEvents(batch));
    this.#native = this.#call('start the engine', attempt);
    if (handlers.summaries === undefined) this.summarizeComplete(false);
  }

  /** Starts the shard threads. Throws `ERR_ONEHOP_LOAD` where this machine has no engine. */
  static start(options: Partial<EngineOptions> = {}, handlers: EngineHandlers = {},
    addon: NativeAddon = loadAddon()): Engine {
    return new Engine(options, handlers, addon);
  }

  /** Makes a credential, or replaces the one behind `handle`; live tunnels keep theirs. */
  putCredential(spec: CredentialSpec, handle: Handle = 0): CredentialInfo {
    return this.#call('use the credential', () => this.#native.putCredential(handle, spec));
  }

  removeCredential(handle: Handle): void {
    this.#call('remove the credential', () => this.#native.removeCredential(handle));
  }

  /**
   * Bound on every shard when it returns. Throws `ERR_ONEHOP_LISTEN` when the system refuses, with
   * the errno as `number`, such as 98 (EADDRINUSE), and `ERR_ONEHOP_REMOVED` for a network namespace
   * that is not there.
   */
  listen(spec: ListenInput): Listening {
    let listening: Listening;
    try {
      listening = this.#call(`listen on ${spec.address}`,
        () => this.#native.listen(listenSpecOf(spec)));
    } catch (thrown) {
      throw listenFailure(thrown);
    }
    this.#listening.add(listening.handle);
    this.#holdOpen();
    return listening;
  }

  /** Stops accepting; with `flows` also ends what came through it, with `removed`. */
  closeListener(handle: Handle, flows = false): void {
    this.#call('close the listener', () => this.#native.closeListener(handle, flows));
    this.#listening.delete(handle);
    this.#holdOpen();
  }

  /** Verdicts for upcalls, or newer ones for keys decided before. All are applied or none. */
  publish(verdicts: readonly Verdict[]): void {
    if (verdicts.length === 0) return;
    this.#call('publish verdicts', () => this.#native.answer(verdicts));
  }

  /**
   * As publish(), but a verdict the engine cannot use spoils no other: its own key is denied with
   * `internal`, its live flows are closed, and `failed` hears of it. Does not throw.
   */
  publishEach(verdicts: readonly Verdict[]): void {
    publishEach(verdicts, {
      publish: (some) => this.publish(some),
      refused: ({ shard, key }, thrown) => {
        if (!this.#stopped) this.#failed(translated(`decide about key ${shard}/${key}`, thrown));
      },
    });
  }

  /** Every flow key the engine may still hold a verdict for. */
  keys(): IterableIterator<Upcall> {
    return this.#decider.known();
  }

  /** Asks `decide` again about every key; live flows are kept or closed as it says. */
  revalidate(): Promise<void> {
    return this.#decider.revalidate();
  }

  /** Drops idle pooled tunnels to this `ip:port`. */
  purgePool(dial: string): void {
    this.#call('purge the pool', () => this.#native.purgePool(dial));
  }

  /** Opens a flow from this process. Rejects with the reason of the failure as its code. */
  async dial(input: DialInput): Promise<FlowSocket> {
    const endpoint = endpointOf(input.endpoint);
    const { dial, authority } = endpoint;
    const doing = authority === '' ? `dial ${dial}` : `dial ${authority} by ${dial}`;
    input.signal?.throwIfAborted();
    return this.#request<FlowSocket>((resolve, reject) => {
      const abort = (): void => reject(input.signal?.reason);
      input.signal?.addEventListener('abort', abort, { once: true });
      const spec = { endpoint, netns: input.netns ?? '', mark: input.mark ?? 0 };
      this.#call(doing, () => this.#native.dial(spec, (error, fd, facts) => {
        input.signal?.removeEventListener('abort', abort);
        if (error !== null) {
          reject(failure(doing, error.reason, error.code, error.detail));
        } else if (input.signal?.aborted === true) {
          closeSync(fd);
        } else {
          const ends = { peerIdentity: facts.peerIdentity, authority, source: '' };
          resolve(this.#sockets.open(facts.shard, facts.flow, fd, ends));
        }
      }));
    });
  }

  /** The live flows of all shards. */
  flows(): Promise<FlowFacts[]> {
    return this.#request((resolve) => {
      this.#call('list the flows', () => this.#native.flows(resolve));
    });
  }

  /** The outbound tunnels of all shards. */
  tunnels(): Promise<TunnelFacts[]> {
    return this.#request((resolve) => {
      this.#call('list the tunnels', () => this.#native.tunnels(resolve));
    });
  }

  closeFlow(shard: number, flow: Handle): void {
    this.#call('close the flow', () => this.#native.closeFlow(shard, flow));
  }

  /** The cells of one label-set slot, summed over the shards. */
  counters(slot: number): CounterTotals {
    const stride = this.options.counterSlots * counterCells.length;
    return totals(this.#native.counters(), counterCells, this.options.shards, stride,
      slot * counterCells.length);
  }

  /** The engine's own counters and gauges, summed over the shards. */
  engineCounters(): EngineTotals {
    return totals(this.#native.engineCounters(), engineCells, this.options.shards,
      engineCells.length, 0);
  }

  /** The block itself, read in place: [shards][counterSlots][counterCells]. */
  counterBlock(): BigUint64Array {
    return this.#native.counters();
  }

  /** Stops accepting, lets flows end until the deadline, then ends them. Does not stop(). */
  drain(deadlineMs: number): Promise<void> {
    this.#listening.clear();
    return this.#request((resolve) => {
      this.#call('drain', () => this.#native.drain(deadlineMs, () => resolve(undefined)));
    });
  }

  /**
   * Whether `summaries` hears of flows that ended as they should, with `complete`; of all others it
   * always does. What it does not hear of costs no call into JavaScript. At the start true with such
   * a handler, false without. For flows that end from now on, on every shard.
   */
  summarizeComplete(on: boolean): void {
    this.#call('choose the summaries', () => this.#native.summarizeComplete(on));
  }

  /** Gives memory of this process that is free back to the system; takes milliseconds. */
  trim(): void {
    this.#call('trim', () => this.#native.trim());
  }

  /** Ends everything now. Requests under way fail and the last summaries are delivered first. */
  stop(): void {
    if (this.#stopped) return;
    this.#native.stop();
    this.#stopped = true;
    this.#listening.clear();
    this.#native.keepAlive(false);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    return Promise.resolve();
  }

  ref(): this {
    this.#referenced = true;
    this.#holdOpen();
    return this;
  }

  /** Listeners and requests no longer keep the process alive. */
  unref(): this {
    this.#referenced = false;
    this.#holdOpen();
    return this;
  }

  #holdOpen(): void {
    if (this.#stopped) return;
    this.#native.keepAlive(this.#referenced && (this.#listening.size > 0 || this.#requests > 0));
  }

  #request<T>(ask: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void):
  Promise<T> {
    this.#requests += 1;
    this.#holdOpen();
    return new Promise<T>(ask).finally(() => {
      this.#requests -= 1;
      this.#holdOpen();
    });
  }

  #call<T>(doing: string, action: () => T): T {
    if (this.#stopped) throw failure(doing, 'local-closed', 0, 'the engine is stopped');
    try {
      return action();
    } catch (thrown) {
      throw translated(doing, thrown);
    }
  }

  #onEvents(batch: EventBatch): void {
    const { upcalls = [], notices = [], deliveries = [], evicted = [] } = batch;
    const summaries = batch.summaries === undefined ? [] : unpacked(batch.summaries);
    if (upcalls.length > 0) this.#guard('decide', () => this.#decider.ask(upcalls));
    for (const delivery of deliveries) this.#guard('deliver', () => this.#deliver(delivery));
    for (const summary of summaries) this.#sockets.ended(summary);
    if (summaries.length > 0) this.#guard('summaries', () => this.#handlers.summaries?.(summaries));
    if (notices.length > 0) this.#guard('notices', () => this.#handlers.notices?.(notices));
    if (evicted.length > 0) {
      this.#decider.forget(evicted);
      this.#guard('evicted', () => this.#handlers.evicted?.(evicted));
    }
  }

  #deliver({ fd, ...delivery }: Delivery): void {
    if (this.#handlers.deliver === undefined) {
      closeSync(fd);
      return;
    }
    const { shard, flow } = delivery;
    this.#handlers.deliver(this.#sockets.open(shard, flow, fd, delivery), delivery);
  }

  #guard(handler: string, action: () => void): void {
    try {
      action();
    } catch (thrown) {
      this.#failed(translated(`the handler '${handler}'`, thrown));
    }
  }

  #decisionFailed(upcall: Upcall, thrown: unknown): void {
    if (this.#stopped) return;
    const target = upcall.authority === '' ? upcall.destination : upcall.authority;
    this.#failed(translated(`decide about ${upcall.sourceIp} to ${target}`, thrown));
  }

  #failed(error: EngineError): void {
    try {
      if (this.#handlers.failed === undefined) process.emitWarning(error);
      else this.#handlers.failed(error);
    } catch (thrown) {
      process.emitWarning(translated("the handler 'failed'", thrown));
    }
  }
}
