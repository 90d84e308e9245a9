/**
 * One proxy of the `node-only` system, a process of its own: the tunnel in JavaScript alone, with
 * node:http2 over node:tls. Its one argument is a JSON file with a `Hop`.
 */
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import {
  connect as connectHttp2, constants, createSecureServer, type ClientHttp2Session,
  type Http2SecureServer, type Http2Stream, type ServerHttp2Stream,
} from 'node:http2';
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import type { PeerCertificate, SecureContextOptions, TLSSocket } from 'node:tls';

import type { Hop } from './two_hops.js';

/** A tunnel is shared by this many flows before the next one is opened. */
const streamsPerTunnel = 1_000;
const backlog = 4_096;
/** The default of 64 KiB stalls one bulk flow; with more than this, sixteen gain nothing. */
const streamWindowBytes = 1 << 20;
const connectionWindowBytes = 1 << 24;
const http2Options = {
  settings: {
    enablePush: false, initialWindowSize: streamWindowBytes, maxConcurrentStreams: 1 << 20,
  },
  // MB. With the default of 10 a tunnel refuses its streams when a few thousand hold data.
  maxSessionMemory: 4_096,
};

const cancel = constants.NGHTTP2_CANCEL;

function tlsOptions({ credentials }: Hop): SecureContextOptions {
  return {
    cert: readFileSync(credentials.certificateFile), key: readFileSync(credentials.keyFile),
    ca: readFileSync(credentials.rootFile), minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256', ecdhCurve: 'X25519',
  };
}

function checkIdentity({ credentials }: Hop, certificate: PeerCertificate): Error | undefined {
  return certificate.subjectaltname === `URI:${credentials.peerIdentity}` ? undefined
    : new Error(`the peer is ${certificate.subjectaltname ?? 'nobody'}`);
}

/** Both directions, with half-close; what breaks on one side breaks the other. */
function join(socket: Socket, stream: Http2Stream): void {
  socket.pipe(stream);
  stream.pipe(socket);
  socket.on('error', () => stream.close(cancel));
  socket.on('close', () => {
    if (!stream.writableEnded || !stream.readableEnded) stream.close(cancel);
  });
  stream.on('error', () => socket.resetAndDestroy());
  stream.on('close', () => {
    if (!socket.writableEnded) socket.resetAndDestroy();
  });
}

class Tunnels {
  readonly #hop: Hop;
  readonly #open = new Map<ClientHttp2Session, number>();

  constructor(hop: Hop) {
    this.#hop = hop;
  }

  /** Asks for the flow and hands out its stream at once: data may follow before the answer. */
  stream(authority: string): Http2Stream {
    const tunnel = this.#roomy();
    const stream = tunnel.request({ ':method': 'CONNECT', ':authority': authority },
      { endStream: false });
    this.#count(tunnel, 1);
    stream.on('close', () => this.#count(tunnel, -1));
    stream.on('response', (headers) => {
      if (headers[':status'] !== 200) stream.close(cancel);
    });
    return stream;
  }

  #count(tunnel: ClientHttp2Session, more: number): void {
    const now = this.#open.get(tunnel);
    if (now !== undefined) this.#open.set(tunnel, now + more);
  }

  #roomy(): ClientHttp2Session {
    for (const [tunnel, streams] of this.#open) {
      if (streams < streamsPerTunnel && !tunnel.closed) return tunnel;
    }
    const { host, port } = this.#hop.next;
    const tunnel = connectHttp2(`https://${host}:${port}`, {
      ...tlsOptions(this.#hop), ...http2Options,
      checkServerIdentity: (_host, certificate) => checkIdentity(this.#hop, certificate),
    });
    tunnel.on('connect', () => tunnel.setLocalWindowSize(connectionWindowBytes));
    // Its streams break with it, each by itself.
    tunnel.on('error', (error) => process.stderr.write(`tunnel: ${error.message}\n`));
    tunnel.on('close', () => this.#open.delete(tunnel));
    this.#open.set(tunnel, 0);
    return tunnel;
  }
}

/** The server's address is agreed on beforehand: both hops know only one. */
const authority = 'server:1';

function near(hop: Hop): Server {
  const tunnels = new Tunnels(hop);
  return createServer({ allowHalfOpen: true, noDelay: true },
    (socket) => join(socket, tunnels.stream(authority)));
}

function accept(hop: Hop, stream: ServerHttp2Stream, asked: string | undefined): void {
  if (asked !== authority) {
    stream.respond({ ':status': 400 }, { endStream: true });
    return;
  }
  const socket = connectTcp({ ...hop.next, allowHalfOpen: true, noDelay: true });
  socket.once('connect', () => {
    if (!stream.destroyed) stream.respond({ ':status': 200 });
  });
  join(socket, stream);
}

function far(hop: Hop): Http2SecureServer {
  const server = createSecureServer({
    ...tlsOptions(hop), ...http2Options, requestCert: true, rejectUnauthorized: true,
  });
  server.on('session', (session) => {
    const refused = checkIdentity(hop, (session.socket as TLSSocket).getPeerCertificate());
    if (refused !== undefined) session.destroy(refused);
    else session.setLocalWindowSize(connectionWindowBytes);
    session.on('error', (error) => process.stderr.write(`tunnel: ${error.message}\n`));
  });
  server.on('stream', (stream, headers) => {
    accept(hop, stream, headers[':method'] === 'CONNECT' ? headers[':authority'] : undefined);
  });
  return server;
}

function main(file: string): void {
  const hop = JSON.parse(readFileSync(file, 'utf8')) as Hop;
  if (cluster.isPrimary && hop.workers > 1) {
    cluster.on('exit', () => process.exit(1));
    for (let worker = 0; worker < hop.workers; worker += 1) cluster.fork();
    return;
  }
  (hop.side === 'near' ? near(hop) : far(hop)).listen({ ...hop.listen, backlog });
}

main(process.argv[2] ?? '');
