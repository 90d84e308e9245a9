import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

import { readExactly } from '../../../lib/cli/demo/socks.js';

/** Replies of RFC 1928 section 6 other than success. */
export class SocksError extends Error {
  constructor(readonly reply: number) {
    super(`SOCKS5 reply ${reply}`);
  }
}

/** Connects to `host:port` through a SOCKS5 proxy; half-open like any plain socket of these tests. */
export async function connectSocks(
  proxy: { host: string; port: number; localAddress?: string },
  host: string,
  port: number,
): Promise<net.Socket> {
  const socket = net.connect({ ...proxy, allowHalfOpen: true, noDelay: true });
  try {
    await once(socket, 'connect');
    const isIp = net.isIPv4(host);
    const address = isIp
      ? Buffer.from([1, ...host.split('.').map(Number)])
      : Buffer.concat([Buffer.from([3, host.length]), Buffer.from(host, 'latin1')]);
    socket.write(
      Buffer.concat([
        Buffer.from([5, 1, 0]),
        Buffer.from([5, 1, 0]),
        address,
        Buffer.from([port >> 8, port & 255]),
      ]),
    );
    const method = await readExactly(socket, 2);
    if (method[0] !== 5 || method[1] !== 0)
      throw new Error(`SOCKS5 method ${method.toString('hex')}`);
    const head = await readExactly(socket, 4);
    const status = head[1] ?? 255;
    const rest = head[3] === 4 ? 18 : 6;
    if (status !== 0) throw new SocksError(status);
    await readExactly(socket, rest);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

export interface TestServer {
  readonly server: net.Server;
  readonly sockets: Set<net.Socket>;
  readonly address: net.AddressInfo;
  close(): Promise<void>;
}

/** A TCP server that keeps account of its sockets, so that `close` leaves nothing behind. */
export async function listen(
  host: string,
  onSocket: (socket: net.Socket) => void,
  port = 0,
): Promise<TestServer> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  server.listen({ host, port, backlog: 4096 });
  await once(server, 'listening');
  return {
    server,
    sockets,
    address: server.address() as net.AddressInfo,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      if (server.listening) await once(server, 'close');
    },
  };
}

export const echoServer = (host: string, port = 0): Promise<TestServer> =>
  listen(host, (socket) => socket.pipe(socket), port);

/** Deterministic bytes, different at every offset block, cheap enough for a gibibyte. */
export function pattern(bytes: number, seed = 1): Buffer {
  const block = Buffer.allocUnsafe(bytes);
  let state = seed >>> 0 || 1;
  let i = 0;
  for (; i + 4 <= bytes; i += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block.writeUInt32LE(state, i);
  }
  for (; i < bytes; i++) block[i] = (state >>> ((i & 3) * 8)) & 255;
  return block;
}

/** Sends `bytes` of a pattern then FIN, reads to the end; returns digests of both directions. */
export async function exchange(
  socket: net.Socket,
  bytes: number,
): Promise<{ sent: string; received: string; receivedBytes: number }> {
  const out = createHash('sha1');
  const back = createHash('sha1');
  let receivedBytes = 0;
  const received = new Promise<void>((done, fail) => {
    socket.on('data', (chunk: Buffer) => {
      back.update(chunk);
      receivedBytes += chunk.length;
    });
    socket.once('end', done).once('error', fail);
    socket.once('close', () => fail(new Error(`closed after ${receivedBytes} bytes`)));
  });
  const sending = (async () => {
    const block = pattern(Math.min(bytes, 1 << 20), bytes);
    let left = bytes;
    let round = 0;
    while (left > 0) {
      const part = Buffer.from(block.subarray(0, Math.min(left, block.length)));
      if (part.length >= 4) part.writeUInt32LE(round++, 0);
      out.update(part);
      if (!socket.write(part)) {
        await Promise.race([once(socket, 'drain'), received]);
      }
      left -= part.length;
    }
    socket.end();
  })();
  await Promise.all([received, sending]);
  return { sent: out.digest('hex'), received: back.digest('hex'), receivedBytes };
}

/** Resolves with the error code ('' for none) once the socket has closed. */
export const closed = (socket: net.Socket): Promise<string> =>
  new Promise((done) => {
    let code = '';
    if (socket.destroyed) return done((socket.errored as NodeJS.ErrnoException | null)?.code ?? '');
    socket.once('error', (error: NodeJS.ErrnoException) => (code = error.code ?? error.message));
    socket.once('close', () => done(code));
  });

export { readExactly };
