import { createServer, connect, type Server, type Socket } from 'node:net';

const keptBytesMax = 8 << 20;

/**
 * A wire with a listener: relays TCP between the two node proxies unchanged, keeping the caller's source
 * address, and keeps what passed in either direction.
 */
export class Tap {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #kept: Buffer[] = [];
  #bytes = 0;

  private constructor(target: { host: string; port: number }) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = connect({
        ...target, localAddress: near.remoteAddress ?? '', allowHalfOpen: true, noDelay: true,
      });
      this.#join(near, far);
      this.#join(far, near);
    });
  }

  static async listen(host: string, port: number, target: { host: string; port: number }):
  Promise<Tap> {
    const tap = new Tap(target);
    await new Promise<void>((done, fail) => {
      tap.#server.once('error', fail);
      tap.#server.listen({ host, port }, done);
    });
    return tap;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What passed first, both directions mixed, each connection's start among it. */
  get kept(): Buffer {
    return Buffer.concat(this.#kept);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on('data', (chunk: Buffer) => {
      if (this.#bytes < keptBytesMax) this.#kept.push(chunk);
      this.#bytes += chunk.length;
    });
    from.on('error', () => to.destroy());
    from.once('close', () => this.#sockets.delete(from));
    from.pipe(to);
  }
}
