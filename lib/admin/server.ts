import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIPv6 } from 'node:net';

import { messageOf } from '../base/error.js';

export interface AdminRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
  /** Address of the caller. */
  readonly remoteIp: string;
}

export interface AdminReply {
  /** Default 200. */
  readonly status?: number;
  /** Default `text/plain; charset=utf-8`. */
  readonly type?: string;
  readonly body: string | Buffer;
}

export type AdminHandler = (request: AdminRequest) => AdminReply | Promise<AdminReply>;

export interface Mount {
  readonly methods: readonly string[];
  readonly path: string;
  /** One line for the index page. */
  readonly doc: string;
  /** Refuses callers from other hosts with 403. */
  readonly localOnly?: boolean;
  readonly handler: AdminHandler;
}

/** What a caller may take from us: header bytes, body bytes, connections, and time. */
const bounds = {
  headerBytesMax: 8 * 1024, bodyBytesMax: 64 * 1024, connectionsMax: 128,
  headersTimeoutMs: 2_000, requestTimeoutMs: 10_000,
  /** Both are looked at so often, also where nobody is connected: what rests should wake seldom. */
  checkMs: 5_000,
} as const;

function isLocal(ip: string): boolean {
  return ip === '::1' || ip.startsWith('127.') || ip.startsWith('::ffff:127.');
}

class TooLarge extends Error {}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bounds.bodyBytesMax) throw new TooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, reply: AdminReply, close = false): void {
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body;
  response.writeHead(reply.status ?? 200, {
    'content-type': reply.type ?? 'text/plain; charset=utf-8',
    'content-length': body.length,
    ...(close ? { connection: 'close' } : {}),
  });
  response.end(body);
}

/**
 * An import reads every export, and from Node 22 on one of them brings a WebSocket client
 * and HTTP/2 along: 3 MiB. Before Node 20.16 there is no other way, and no harm in it.
 */
async function nodeHttp(): Promise<typeof import('node:http')> {
  const { getBuiltinModule } = process as Partial<Pick<NodeJS.Process, 'getBuiltinModule'>>;
  return getBuiltinModule?.('node:http') ?? import('node:http');
}

/** One HTTP/1.1 address with what is mounted on it. Knows nothing of what it shows. */
export class AdminServer {
  #server: Server | undefined;
  readonly #mounts = new Map<string, Mount>();
  #address = '';

  constructor(mounts: readonly Mount[]) {
    for (const mount of mounts) this.mount(mount);
  }

  mount(mount: Mount): void {
    this.#mounts.set(mount.path, mount);
  }

  /** `host:port` it listens on; '' before. */
  get address(): string {
    return this.#address;
  }

  /** Rejects with an error that names the address. Port 0 lets the kernel choose. */
  async listen(host: string, port: number): Promise<string> {
    const { createServer } = await nodeHttp();
    const server = createServer({
      maxHeaderSize: bounds.headerBytesMax, requestTimeout: bounds.requestTimeoutMs,
      headersTimeout: bounds.headersTimeoutMs, noDelay: true,
      connectionsCheckingInterval: bounds.checkMs,
    }, (request, response) => void this.#serve(request, response));
    server.maxConnections = bounds.connectionsMax;
    await new Promise<void>((done, fail) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        const shown = isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
        const right = error.code === 'EADDRINUSE' ? '; another port would be right'
          : error.code === 'EADDRNOTAVAIL' ? '; an address of this machine would be right' : '';
        fail(new Error(`cannot listen on ${shown}: ${error.code ?? messageOf(error)}${right}`,
          { cause: error }));
      };
      server.once('error', failed);
      server.listen({ host, port }, () => {
        server.off('error', failed);
        // Out of descriptors and the like: the caller sees a closed connection, the role goes on.
        server.on('error', () => undefined);
        done();
      });
    });
    this.#server = server;
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('unreachable');
    this.#address = bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}`
      : `${bound.address}:${bound.port}`;
    return this.#address;
  }

  /** Ends all connections. Idempotent. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server?.listening !== true) return;
    await new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  }

  #index(): AdminReply {
    const rows = [...this.#mounts.values()]
      .map(({ methods, path, doc }) => `${methods.join(',').padEnd(9)} ${path.padEnd(20)} ${doc}`);
    return { body: `${rows.join('\n')}\n` };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    try {
      const { reply, close } = await this.#reply(request);
      send(response, reply, close);
    } catch (error) {
      if (response.headersSent || response.destroyed) response.destroy();
      else send(response, { status: 500, body: `${messageOf(error)}\n` }, true);
    }
  }

  async #reply(request: IncomingMessage): Promise<{ reply: AdminReply; close: boolean }> {
    const method = request.method ?? '';
    let url: URL;
    try {
      url = new URL(request.url ?? '', 'http://admin');
    } catch {
      return { reply: { status: 400, body: 'the request target is no path\n' }, close: true };
    }
    const mount = this.#mounts.get(url.pathname);
    if (mount === undefined) {
      if (url.pathname === '/') return { reply: this.#index(), close: false };
      return { reply: { status: 404, body: `nothing at ${url.pathname}; see /\n` }, close: false };
    }
    const remoteIp = request.socket.remoteAddress ?? '';
    if (mount.localOnly === true && !isLocal(remoteIp)) {
      return { reply: { status: 403, body: 'only from this machine\n' }, close: true };
    }
    if (!mount.methods.includes(method)) {
      const right = mount.methods.join(' or ');
      return { reply: { status: 405, body: `${method} is refused; ${right} would be right\n` }, close: true };
    }
    try {
      const body = await bodyOf(request);
      const reply = await mount.handler({
        method, path: url.pathname, query: url.searchParams, body, remoteIp,
      });
      return { reply, close: false };
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      const body = `a body of at most ${bounds.bodyBytesMax} bytes would be right\n`;
      return { reply: { status: 413, body }, close: true };
    }
  }
}
