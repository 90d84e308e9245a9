import { closeSync } from 'node:fs';
import { Socket } from 'node:net';

import { EngineError } from './error.js';

export interface FlowEnds {
  /** The SPIFFE id the other end proved; '' without TLS. */
  readonly peerIdentity: string;
  /** HBONE: the `:authority` asked for, else ''. */
  readonly authority: string;
  /** `ip:port` of the downstream; '' when that is this process. */
  readonly source: string;
}

/**
 * This process's end of a flow: a socket pair, so end() is a half-close that reaches the other end
 * and its half-close is 'end' here. The engine carries the bytes on from the other half.
 */
export class FlowSocket extends Socket implements FlowEnds {
  readonly peerIdentity: string;
  readonly authority: string;
  readonly source: string;

  constructor(fd: number, ends: FlowEnds) {
    super({ fd, allowHalfOpen: true, readable: true, writable: true });
    this.peerIdentity = ends.peerIdentity;
    this.authority = ends.authority;
    this.source = ends.source;
  }
}

/** Owns `fd` from here on, whatever happens. */
export function openFlowSocket(fd: number, ends: FlowEnds): FlowSocket {
  try {
    return new FlowSocket(fd, ends);
  } catch (cause) {
    closeSync(fd);
    throw new EngineError('ERR_ONEHOP_INTERNAL', 'no socket for a flow of the engine', { cause });
  }
}
