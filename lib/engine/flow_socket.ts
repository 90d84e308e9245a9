import { closeSync } from 'node:fs';
import { Socket } from 'node:net';

import type { FlowSummary, Handle } from './contract.js';
import { EngineError, failure } from './error.js';

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
 * and its half-close is 'end' here. The engine carries the bytes on from the other half. When the
 * flow ends other than by both half-closes, the socket is destroyed with an `EngineError` that says
 * why; without an error when this program ended it (closeFlow(), stop()).
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

function openFlowSocket(fd: number, ends: FlowEnds): FlowSocket {
  try {
    return new FlowSocket(fd, ends);
  } catch (cause) {
    closeSync(fd);
    throw new EngineError('ERR_ONEHOP_INTERNAL', 'no socket for a flow of the engine', { cause });
  }
}

/** The open sockets by the flow they belong to: what a socket pair cannot say, the summary does. */
export class FlowSockets {
  readonly #open = new Map<string, FlowSocket>();

  /** Owns `fd`. */
  open(shard: number, flow: Handle, fd: number, ends: FlowEnds): FlowSocket {
    const socket = openFlowSocket(fd, ends);
    const name = `${shard}/${flow}`;
    this.#open.set(name, socket);
    socket.once('close', () => this.#open.delete(name));
    return socket;
  }

  ended({ shard, flow, reason, code, detail }: FlowSummary): void {
    const name = `${shard}/${flow}`;
    const socket = this.#open.get(name);
    if (socket === undefined) return;
    this.#open.delete(name);
    if (reason === 'complete' || socket.destroyed) return;
    if (reason === 'local-closed') socket.destroy();
    else socket.destroy(failure('the flow ended', reason, code, detail));
  }
}
