import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** The proxy refused; `reply` is the code of RFC 1928 section 6. */
export class SocksRefusal extends Error {
  constructor(readonly reply: number) {
    super(`SOCKS5 reply ${reply}`);
  }
}

/**
 * The next `bytes` bytes. One listener stays for the whole wait: one that is taken off and put on
 * again while a part of them is there is called again before any other event of the process.
 */
export function readExactly(socket: Socket, bytes: number): Promise<Buffer> {
  return new Promise((done, fail) => {
    const look = (): void => {
      const chunk = socket.read(bytes) as Buffer | null;
      if (chunk === null && !socket.readableEnded && !socket.destroyed) return;
      stop();
      if (chunk?.length === bytes) done(chunk);
      else fail(new Error('the connection ended early'));
    };
    const broken = (error: Error): void => {
      stop();
      fail(error);
    };
    const stop = (): void => {
      socket.off('readable', look).off('end', look).off('close', look).off('error', broken);
    };
    socket.on('readable', look).on('end', look).on('close', look).on('error', broken);
    look();
  });
}

/** A connection of a workload: through the SOCKS5 port of its node proxy. IPv4 destinations only. */
export async function connectAs(workloadIp: string, ip: string, port: number): Promise<Socket> {
  const socket = connect({ host: workloadIp, port: 15_080, allowHalfOpen: true, noDelay: true });
  try {
    await once(socket, 'connect');
    socket.write(Buffer.from([5, 1, 0, 5, 1, 0, 1, ...ip.split('.').map(Number), port >> 8, port & 255]));
    const [version, method] = await readExactly(socket, 2);
    if (version !== 5 || method !== 0) throw new Error('this is no SOCKS5 proxy');
    const [, status = 255] = await readExactly(socket, 4);
    if (status !== 0) throw new SocksRefusal(status);
    await readExactly(socket, 6);
    socket.on('error', () => undefined);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Everything until the end of the stream. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
