import { OnehopError, messageOf } from '../base/error.js';
import { closeReasons } from './contract.js';
import type { CloseReason } from './contract.js';

type Words<Text extends string> =
  Text extends `${infer Head}-${infer Rest}` ? `${Head}_${Words<Rest>}` : Text;

/**
 * `ERR_ONEHOP_` and the close reason, such as `ERR_ONEHOP_DIAL_REFUSED`; beside these
 * `_ARGUMENT` (a value the engine cannot read), `_LISTEN` (an address that cannot be listened on;
 * `number` is the errno), `_LOAD` (no usable addon) and `_CONTRACT` (the addon is of another
 * version).
 */
export type EngineErrorCode =
  | `ERR_ONEHOP_${Uppercase<Words<CloseReason>>}`
  | 'ERR_ONEHOP_ARGUMENT' | 'ERR_ONEHOP_LISTEN' | 'ERR_ONEHOP_LOAD' | 'ERR_ONEHOP_CONTRACT';

export function codeOf(reason: CloseReason): EngineErrorCode {
  return `ERR_ONEHOP_${reason.toUpperCase().replaceAll('-', '_')}` as EngineErrorCode;
}

export interface EngineErrorFacts {
  reason?: CloseReason;
  /** errno, TLS alert, HTTP/2 code or HTTP status; 0 when none applies. */
  number?: number;
  cause?: unknown;
}

export class EngineError extends OnehopError {
  declare readonly code: EngineErrorCode;
  readonly reason: CloseReason;
  readonly number: number;

  constructor(code: EngineErrorCode, message: string, facts: EngineErrorFacts = {}) {
    super(code, message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.reason = facts.reason ?? 'internal';
    this.number = facts.number ?? 0;
  }
}

const reasons = new Set<string>(closeReasons);

/** The error for a failure the engine reported with a reason. */
export function failure(doing: string, reason: CloseReason, number: number,
  detail: string): EngineError {
  const because = detail === '' ? reason : `${reason}: ${detail}`;
  return new EngineError(codeOf(reason), `${doing}: ${because}`, { reason, number });
}

/** What the addon threw, as our error: its `code` is a close reason or `argument`. */
export function translated(doing: string, thrown: unknown): EngineError {
  if (thrown instanceof EngineError) return thrown;
  const { code, number } = Object(thrown) as { code?: unknown; number?: unknown };
  const text = messageOf(thrown);
  if (typeof code === 'string' && reasons.has(code)) {
    return failure(doing, code as CloseReason, typeof number === 'number' ? number : 0, text);
  }
  if (code === 'argument') {
    return new EngineError('ERR_ONEHOP_ARGUMENT', `${doing}: ${text}`, { cause: thrown });
  }
  return new EngineError('ERR_ONEHOP_INTERNAL', `${doing}: ${text}`, { cause: thrown });
}

/** Of opening a listener: what the system refused gets a code of its own. */
export function listenFailure(thrown: unknown): unknown {
  if (!(thrown instanceof EngineError) || thrown.reason !== 'internal') return thrown;
  const { message, reason, number } = thrown;
  if (number === 0) return thrown;
  return new EngineError('ERR_ONEHOP_LISTEN', message.replace(': internal: ', ': '),
    { reason, number, cause: thrown });
}
