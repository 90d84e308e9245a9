import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export type Direction = 'up' | 'down';

/** A part of one connection's bytes. */
export interface Part {
  /** Counted from 0 in the order of accept. */
  readonly connection: number;
  readonly direction: Direction;
  /** Of the part's first byte in its direction. */
  readonly offset: number;
  readonly bytes: Buffer;
  /** Ends both sides at once. */
  readonly cut: () => void;
}

/** What to send on instead, a list piece by piece; undefined sends it as it is. */
export type Meddle = (part: Part) => Buffer | Buffer[] | Promise<Buffer | undefined> | undefined;

export interface Proxy { address: string; stop(): void }

/** A TCP proxy that does to the bytes what `meddle` says. */
export async function startProxy(target: string, meddle: Meddle): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const [host = '', port = ''] = target.split(':');
  const server = createServer((near) => {
    const connection = connections;
    connections += 1;
    const far = connect(Number(port), host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    const cut = (): void => void (near.destroy(), far.destroy());
    const pump = async (from: Socket, to: Socket, direction: Direction): Promise<void> => {
      let offset = 0;
      try {
        for await (const bytes of from as AsyncIterable<Buffer>) {
          const instead = await meddle({ connection, direction, offset, bytes, cut });
          offset += bytes.length;
          for (const piece of Array.isArray(instead) ? instead : [instead ?? bytes]) {
            if (!to.write(piece)) await once(to, 'drain');
            if (Array.isArray(instead)) await new Promise((resolve) => setImmediate(resolve));
          }
        }
        to.end();
      } catch {
        cut();
      }
    };
    void pump(near, far, 'up');
    void pump(far, near, 'down');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
