import type {
  EngineOptions, EventBatch, NativeAddon, NativeEngine, Verdict,
} from '../../../lib/engine/contract.js';

export interface FakeAddon extends NativeAddon {
  /** Calls in order: name and arguments without callbacks. */
  readonly calls: [string, ...unknown[]][];
  readonly answered: (readonly Verdict[])[];
  /** What the next calls of this name throw. */
  readonly throwing: Map<string, Error>;
  emit(batch: EventBatch): void;
  dials: ((error: null | { reason: 'dial-refused'; code: number; detail: string },
    fd: number) => void)[];
}

export function failing(code: string, message: string, number = 0): Error {
  return Object.assign(new Error(message), { code, number });
}

/** The addon without an engine: records what it is told. */
export function fakeAddon(): FakeAddon {
  let onEvents: (batch: EventBatch) => void = () => undefined;
  const calls: FakeAddon['calls'] = [];
  const answered: FakeAddon['answered'] = [];
  const throwing: FakeAddon['throwing'] = new Map();
  const dials: FakeAddon['dials'] = [];
  const note = (name: string, ...values: unknown[]): void => {
    calls.push([name, ...values]);
    const thrown = throwing.get(name);
    if (thrown !== undefined) throw thrown;
  };
  const native = (options: EngineOptions): NativeEngine => ({
    putCredential: (handle) => {
      note('putCredential', handle);
      const identity = 'spiffe://t/ns/n/sa/s';
      return { handle: 1, identity, serial: '1', notBeforeMs: 0, notAfterMs: 1 };
    },
    removeCredential: (handle) => note('removeCredential', handle),
    listen: (spec) => {
      note('listen', spec);
      return { handle: 5, address: spec.address, transparent: false };
    },
    closeListener: (handle, flows) => note('closeListener', handle, flows),
    answer: (verdicts) => {
      note('answer');
      answered.push(verdicts);
    },
    purgePool: (dial) => note('purgePool', dial),
    dial: (spec, done) => {
      note('dial', spec);
      dials.push((error, fd) => done(
        error, fd, { peerIdentity: 'spiffe://t/ns/n/sa/peer', shard: 0, flow: 1 }));
    },
    flows: (done) => done([]),
    tunnels: (done) => done([]),
    closeFlow: (shard, flow) => note('closeFlow', shard, flow),
    counters: () => BigUint64Array.from(
      { length: options.shards * options.counterSlots * 16 }, (_, index) => BigInt(index)),
    engineCounters: () => BigUint64Array.from(
      { length: options.shards * 32 }, (_, index) => BigInt(index)),
    keepAlive: (on) => note('keepAlive', on),
    drain: (_deadlineMs, done) => done(),
    summarizeComplete: (on) => note('summarizeComplete', on),
    trim: () => note('trim'),
    stop: () => note('stop'),
  });
  return {
    calls, answered, throwing, dials,
    emit: (batch) => onEvents(batch),
    contract: () => ({}),
    versions: () => ({}),
    start: (options, listener) => {
      note('start', options);
      onEvents = listener;
      return native(options);
    },
  };
}
