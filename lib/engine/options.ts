import { inspect } from 'node:util';

import type { Endpoint, EngineOptions, ListenSpec, Verdict } from './contract.js';
import { EngineError } from './error.js';

/** The same defaults as `native/engine/contract.h`. */
export const engineDefaults: EngineOptions = {
  shards: 1,
  flowCacheMax: 65_536,
  counterSlots: 4096,
  flowsMax: 262_144,
  streamsPerTunnelMax: 1000,
  poolStreamsMax: 1000,
  poolIdleMs: 300_000,
  poolNegativeMs: 1000,
  upcallTimeoutMs: 5000,
  dialTimeoutMs: 10_000,
  handshakeTimeoutMs: 10_000,
  prefaceTimeoutMs: 10_000,
  connectTimeoutMs: 15_000,
  livenessMs: 30_000,
  windowBudgetBytes: 256 * 2 ** 20,
  congestion: '',
  spinUs: 0,
  spliceAfterBytes: 2 ** 20,
  optimisticBytes: 4096,
};

const dayMs = 86_400_000;
type NumberOption = Exclude<keyof EngineOptions, 'congestion'>;

/** Least and most, both allowed. */
export const engineBounds: Record<NumberOption, readonly [number, number]> = {
  shards: [1, 64],
  flowCacheMax: [16, 1_048_576],
  counterSlots: [1, 1_048_576],
  flowsMax: [1, 16_777_216],
  streamsPerTunnelMax: [1, 65_536],
  poolStreamsMax: [1, 65_536],
  poolIdleMs: [1, dayMs],
  poolNegativeMs: [0, dayMs],
  upcallTimeoutMs: [1, dayMs],
  dialTimeoutMs: [1, dayMs],
  handshakeTimeoutMs: [1, dayMs],
  prefaceTimeoutMs: [1, dayMs],
  connectTimeoutMs: [1, dayMs],
  livenessMs: [1, dayMs],
  windowBudgetBytes: [2 ** 20, 2 ** 40],
  spinUs: [0, 1000],
  spliceAfterBytes: [0, 2 ** 30],
  optimisticBytes: [0, 2 ** 14],
};

/** Defaults filled in and bounds checked; throws `ERR_ONEHOP_ARGUMENT`. */
export function engineOptions(given: Partial<EngineOptions>): EngineOptions {
  const options: EngineOptions = { ...engineDefaults };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(engineDefaults, name)) {
      throw new EngineError('ERR_ONEHOP_ARGUMENT', `${name} is no option of the engine; there are `
        + Object.keys(engineDefaults).join(', '));
    }
    if (value !== undefined) Object.assign(options, { [name]: value });
  }
  for (const [name, [least, most]] of Object.entries(engineBounds)) {
    const value = options[name as NumberOption];
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new EngineError('ERR_ONEHOP_ARGUMENT',
        `${name} is a whole number from ${least} to ${most}, not ${String(value)}`);
    }
  }
  return options;
}

/** What an endpoint must say; the rest has defaults. */
export type EndpointInput = Pick<Endpoint, 'protocol'> & Partial<Endpoint>;

export function endpointOf(given: EndpointInput): Endpoint {
  return {
    dial: '', bind: '', credential: 0, authority: '', peers: [], headers: [], forwardedHost: '',
    weight: 1, counters: 0, ...given,
  };
}

export type ListenInput = Pick<ListenSpec, 'kind' | 'address'> & Partial<ListenSpec>;

export function listenSpecOf(given: ListenInput): ListenSpec {
  return { netns: '', mark: 0, credential: 0, transparent: false, backlog: 1024, ...given };
}

interface AnswerParts {
  /** Default: the generation of the engine when the question was asked. */
  generation?: number;
  /** What happens to live flows of this key; default: keep when allowed, close when not. */
  live?: 'keep' | 'close';
}

export interface Allow extends AnswerParts {
  allow: true;
  endpoints: readonly EndpointInput[];
  responseHeaders?: Verdict['responseHeaders'];
}

export interface Deny extends AnswerParts {
  allow: false;
  /** Default: `denied`. */
  reason?: Verdict['reason'];
  /** HBONE: the status of the response; default 401 for `denied`, else 503. */
  status?: number;
  counters?: number;
}

/** What `decide` returns for one upcall. */
export type Answer = Allow | Deny;

/** What `decide` returned, when it is an answer; its parts are checked by the engine. */
export function checkedAnswer(answer: unknown): Answer {
  const { allow, endpoints } = Object(answer) as Partial<Allow>;
  if (typeof allow === 'boolean' && (!allow || Array.isArray(endpoints))) return answer as Answer;
  throw new EngineError('ERR_ONEHOP_ARGUMENT', `the answer ${inspect(answer, { depth: 1 })} is `
    + 'neither {allow: true, endpoints: […]} nor {allow: false}');
}

export function verdictOf(at: Pick<Verdict, 'shard' | 'key'>, kind: string, answer: Answer,
  generation: number): Verdict {
  const common = { shard: at.shard, key: at.key, generation: answer.generation ?? generation };
  if (answer.allow) {
    return {
      ...common, allow: true, reason: 'none', status: 0, counters: 0,
      endpoints: answer.endpoints.map(endpointOf),
      responseHeaders: answer.responseHeaders ?? [], live: answer.live ?? 'keep',
    };
  }
  const reason = answer.reason ?? 'denied';
  const status = kind === 'hbone' ? answer.status ?? (reason === 'denied' ? 401 : 503) : 0;
  return {
    ...common, allow: false, reason, status, counters: answer.counters ?? 0,
    endpoints: [], responseHeaders: [], live: answer.live ?? 'close',
  };
}
