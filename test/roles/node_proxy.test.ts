import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  Authority,
  certificateFiles,
  createNodeProxy,
  type NodeProxy,
  type NodeProxyOptions,
} from '../../lib/index.js';
import { connectSocks, exchange } from '../e2e/support/sockets.js';

// The embedded node proxy, as a program uses it: two of them in this process.

const prefix = '127.77.1';
const [client, server] = [`${prefix}.2`, `${prefix}.3`];
let dir: string;
let app: Server;

const meshOf = (count = 0): string =>
  JSON.stringify({
    workloads: [
      { name: 'client', serviceAccount: 'client', workloadIps: [client], node: 'a' },
      { name: 'server', serviceAccount: 'server', workloadIps: [server], node: 'b' },
      ...Array.from({ length: count }, (_, i) => ({
        name: `w${i}`,
        serviceAccount: `w${i}`,
        workloadIps: [`127.77.2.${i + 1}`],
        node: 'crowd',
      })),
    ].map((one) => ({ ...one, namespace: 'demo', protocol: 'HBONE', services: {} })),
  });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'onehop-role-'));
  await writeFile(join(dir, 'mesh.yaml'), meshOf(100));
  await Authority.init({ dir: join(dir, 'ca') });
  app = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  await new Promise<void>((done) => app.listen(8080, server, done));
});
afterAll(async () => {
  app.close();
  await rm(dir, { recursive: true });
});

const options = (node: string, more: Partial<NodeProxyOptions> = {}): NodeProxyOptions => ({
  node,
  mesh: join(dir, 'mesh.yaml'),
  caDir: join(dir, 'ca'),
  shards: 1,
  logLevel: 'off',
  admin: 'off',
  stats: 'off',
  ready: '127.0.0.1:0',
  ...more,
});
const lines: string[] = [];
const logTo = { write: (line: string): void => void lines.push(line) };

/** Sockets of this process; an engine keeps its own loops until it is collected. */
function openSockets(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}

async function carries(): Promise<boolean> {
  const socket = await connectSocks({ host: client, port: 15_080 }, server, 8080);
  const result = await exchange(socket, 100_000);
  socket.destroy();
  return result.received === result.sent;
}

describe('two node proxies in one process', () => {
  it('carry traffic, show it, and leave nothing behind', async () => {
    const before = openSockets();
    for (let round = 0; round < 2; round++) {
      await using a = await createNodeProxy(options('a'));
      await using b = await createNodeProxy(options('b'));
      expect([a.ready, b.ready]).toEqual([true, true]);
      expect(a.addresses).toEqual({
        admin: '',
        stats: '',
        ready: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
      });
      expect(await carries()).toBe(true);
      expect(await a.tunnels()).toMatchObject([
        { peerIdentity: 'spiffe://cluster.local/ns/demo/sa/server' },
      ]);
      expect(await b.metrics()).toContain(
        'source_principal="spiffe://cluster.local/ns/demo/sa/client"',
      );
      await a.drain();
      await a.ended;
      expect(a.ready).toBe(false);
    }
    await expect.poll(openSockets, { timeout: 10_000 }).toBeLessThanOrEqual(before);
  });

  it('take certificates from files that somebody else renews', async () => {
    await using authority = await Authority.open(join(dir, 'ca'));
    const sets = [];
    for (const name of ['client', 'server']) {
      const files = join(dir, name);
      await authority.issueTo(files, `spiffe://cluster.local/ns/demo/sa/${name}`);
      sets.push({
        chainFile: `${files}.pem`,
        keyFile: `${files}-key.pem`,
        rootsFile: join(dir, 'ca', 'root.pem'),
        pollMs: 20,
      });
    }
    const certificates = certificateFiles(...sets);
    const given = { certificates, logTo, logLevel: 'info', log: 'json' } as const;
    const { caDir, ...rest } = options('a', given);
    expect(caDir).not.toBe('');
    await using a: NodeProxy = await createNodeProxy(rest);
    await using b = await createNodeProxy({ ...rest, node: 'b' });
    expect([a.ready, b.ready]).toEqual([true, true]);
    expect(await carries()).toBe(true);
    const { serial } = await authority.issueTo(
      join(dir, 'client'),
      'spiffe://cluster.local/ns/demo/sa/client',
    );
    await expect
      .poll(() => lines.some((line) => line.includes(serial)), { timeout: 5_000 })
      .toBe(true);
    expect(await carries()).toBe(true);
  });
});

describe('starting', () => {
  it('is given up when the signal says so, and leaves nothing behind', async () => {
    const before = openSockets();
    lines.length = 0;
    const reason = new Error('enough');
    const starting = new AbortController();
    const started = createNodeProxy(
      options('crowd', {
        signal: starting.signal,
        logTo,
        log: 'json',
        logLevel: 'info',
      }),
    );
    const refused = expect(started).rejects.toBe(reason);
    await expect
      .poll(() => lines.some((line) => line.includes('mesh applied')), {
        timeout: 10_000,
        interval: 1,
      })
      .toBe(true);
    starting.abort(reason);
    await refused;
    await expect.poll(openSockets).toBeLessThanOrEqual(before);
    const told = lines.length;
    await new Promise((done) => setTimeout(done, 300));
    expect(lines.slice(told)).toEqual([]);
  });

  it('needs what it needs, with one error for all of it', async () => {
    await expect(createNodeProxy({ shards: 65, node: 'a' })).rejects.toMatchObject({
      code: 'ERR_ONEHOP_CONFIG',
      problems: [{ name: '--shards', value: '65' }],
    });
    await expect(createNodeProxy(options('a', { ready: `${server}:8080` }))).rejects.toMatchObject({
      code: 'ERR_ONEHOP_LISTEN',
      cause: { code: 'EADDRINUSE' },
    });
  });
});
