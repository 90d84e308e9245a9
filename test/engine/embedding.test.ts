import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { createHash, randomBytes } from 'node:crypto';

import { afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { CredentialSpec, FlowSummary, Upcall } from '../../lib/engine/contract.js';
import { Engine } from '../../lib/engine/engine.js';
import type { EngineHandlers } from '../../lib/engine/engine.js';
import type { FlowSocket } from '../../lib/engine/flow_socket.js';
import type { Answer, EndpointInput, ListenInput } from '../../lib/engine/options.js';
import { testAuthority } from './support/certificates.js';

const clientId = 'spiffe://cluster.local/ns/default/sa/client';
const serverId = 'spiffe://cluster.local/ns/default/sa/server';
let issue: (id: string) => Promise<CredentialSpec>;
let cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  issue = await testAuthority();
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  cleanups = [];
});

async function listening(onSocket: (socket: Socket) => void): Promise<string> {
  const server: Server = createServer({ allowHalfOpen: true }, onSocket);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function started(handlers: EngineHandlers = {}): Engine {
  const engine = Engine.start({ shards: 2 }, handlers);
  cleanups.push(() => engine.stop());
  return engine;
}

/** An engine that serves HBONE with its own decisions, and one to dial from. */
async function pair(decide: (upcall: Upcall) => Answer | Promise<Answer>,
  handlers: EngineHandlers = {}): Promise<{
    client: Engine; server: Engine; endpoint: EndpointInput; summaries: FlowSummary[];
  }> {
  const summaries: FlowSummary[] = [];
  const server = started({ decide, summaries: (ended) => summaries.push(...ended), ...handlers });
  const client = started();
  const serving = server.putCredential(await issue(serverId));
  const own = client.putCredential(await issue(clientId));
  expect(serving.identity).toBe(serverId);
  const { address } = server.listen({
    kind: 'hbone', address: '127.0.0.1:0', credential: serving.handle,
  });
  const endpoint: EndpointInput = {
    protocol: 'hbone', dial: address, credential: own.handle, authority: '10.9.9.9:80',
    peers: [serverId],
  };
  return { client, server, endpoint, summaries };
}

/** Unlike the stream consumers of Node, leaves the socket open for writing. */
async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  await once(socket, 'end');
  return Buffer.concat(parts);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('two engines in one process', () => {
  it('carry a dialled tunnel to where decide says, with both identities seen', async () => {
    const asked: Upcall[] = [];
    const app = await listening((socket) => socket.pipe(socket));
    const { client, endpoint, summaries } = await pair((upcall) => {
      asked.push(upcall);
      return { allow: true, endpoints: [{ protocol: 'tcp', dial: app }] };
    });
    const bytes = randomBytes(3_000_000);
    const socket = await client.dial({ endpoint });
    expect(socket.peerIdentity).toBe(serverId);
    socket.end(bytes);
    const back = await buffer(socket);
    const sum = (of: Buffer): string => createHash('sha256').update(of).digest('hex');
    expect(sum(back)).toBe(sum(bytes));
    expect(asked).toMatchObject([
      { kind: 'hbone', peerIdentity: clientId, authority: '10.9.9.9:80' },
    ]);
    await until(() => summaries.length === 1);
    expect(summaries[0]).toMatchObject({
      reason: 'complete', bytesUp: bytes.length, bytesDown: bytes.length, dialled: app,
    });
    expect(summaries[0]?.events.map(({ event }) => event)).toContain('connected');
  });

  it('tell of flows that end well only while asked to, of others always', async () => {
    const app = await listening((socket) => socket.pipe(socket));
    let allow = true;
    const { client, server, endpoint, summaries } = await pair(() => (allow
      ? { allow, endpoints: [{ protocol: 'tcp', dial: app }] } : { allow, reason: 'denied' }));
    const flow = async (): Promise<void> => {
      const socket = await client.dial({ endpoint });
      socket.end('hello');
      expect(String(await buffer(socket))).toBe('hello');
    };
    server.summarizeComplete(false);
    await flow();
    await flow();
    await until(() => server.counters(0).closed === 2);
    server.summarizeComplete(true);
    await flow();
    await until(() => summaries.length === 1);
    server.summarizeComplete(false);
    allow = false;
    await server.revalidate();
    await expect(client.dial({ endpoint })).rejects.toMatchObject({
      code: 'ERR_ONEHOP_CONNECT_REFUSED' });
    await until(() => summaries.length === 2);
    expect(summaries.map(({ reason }) => reason)).toEqual(['complete', 'denied']);
    expect(client.counters(0).closed).toBeGreaterThanOrEqual(3);
  });

  it('decide once for equal keys and reuse the tunnel', async () => {
    let asked = 0;
    const app = await listening((socket) => socket.end('hello'));
    const { client, server, endpoint } = await pair(() => {
      asked += 1;
      return { allow: true, endpoints: [{ protocol: 'tcp', dial: app }] };
    });
    for (let turn = 0; turn < 5; turn += 1) {
      const socket = await client.dial({ endpoint });
      expect(await text(socket.end())).toBe('hello');
    }
    const tunnels = await client.tunnels();
    expect(tunnels.reduce((sum, { streamsServed }) => sum + streamsServed, 0)).toBe(5);
    expect(asked).toBeLessThanOrEqual(2);
    expect(server.engineCounters().flowsOpened).toBe(5);
  });

  it('deny with a code, and cut live flows on revalidation', async () => {
    let allow = true;
    const app = await listening((socket) => socket.on('error', () => undefined).pipe(socket));
    const { client, server, endpoint, summaries } = await pair(() =>
      allow ? { allow, endpoints: [{ protocol: 'tcp', dial: app }] } : { allow });
    const socket = await client.dial({ endpoint });
    socket.write('x');
    await once(socket, 'data');
    expect(await server.flows()).toMatchObject([{ dialled: app }]);
    allow = false;
    const gone = once(socket, 'error');
    await server.revalidate();
    expect(await gone).toMatchObject([{ code: 'ERR_ONEHOP_UPSTREAM_RESET' }]);
    await until(() => summaries.length === 1);
    expect(summaries[0]?.reason).toBe('policy-changed');
    await expect(client.dial({ endpoint })).rejects.toMatchObject({
      code: 'ERR_ONEHOP_CONNECT_REFUSED', number: 401,
    });
  });

  it('hand local flows to this process as sockets with half-close both ways', async () => {
    const taken: FlowSocket[] = [];
    const { client, endpoint } = await pair(
      () => ({ allow: true, endpoints: [{ protocol: 'local' }] }),
      { deliver: (socket) => taken.push(socket) });
    const socket = await client.dial({ endpoint });
    socket.end('question');
    await until(() => taken.length === 1);
    const served = taken[0] as FlowSocket;
    expect(served).toMatchObject({ peerIdentity: clientId, authority: '10.9.9.9:80' });
    expect(String(await readAll(served))).toBe('question');
    served.end('answer');
    expect(String(await readAll(socket))).toBe('answer');
  });

  it('refuse a peer of another identity', async () => {
    const { client, endpoint } = await pair(() => ({ allow: false }));
    const wrong = { ...endpoint, peers: ['spiffe://cluster.local/ns/default/sa/other'] };
    await expect(client.dial({ endpoint: wrong })).rejects.toMatchObject({
      code: 'ERR_ONEHOP_TLS_IDENTITY',
    });
  });
});

/** The types of the extensions of a TLS 1.3 ClientHello (RFC 8446 4.1.2), which fills one record. */
function extensionTypes(record: Buffer): number[] {
  let at = 5 + 4 + 2 + 32;
  at += 1 + record.readUInt8(at);
  at += 2 + record.readUInt16BE(at);
  at += 1 + record.readUInt8(at);
  const end = at + 2 + record.readUInt16BE(at);
  const types: number[] = [];
  for (at += 2; at < end; at += 4 + record.readUInt16BE(at + 2)) {
    types.push(record.readUInt16BE(at));
  }
  return types;
}

describe('one engine', () => {
  it('offers no compression of certificates, which some OpenSSL would do anew each time', async () => {
    let hello = Buffer.alloc(0);
    const dial = await listening((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (part: Buffer) => {
        hello = Buffer.concat([hello, part]);
        if (hello.length >= 5 && hello.length >= 5 + hello.readUInt16BE(3)) socket.destroy();
      });
    });
    const engine = started();
    const { handle: credential } = engine.putCredential(await issue(clientId));
    await expect(engine.dial({
      endpoint: { protocol: 'hbone', dial, authority: '10.9.9.9:80', credential, peers: [serverId] },
    })).rejects.toThrow();
    const types = extensionTypes(hello);
    const keyShare = 51;
    const compressCertificate = 27;
    expect(types).toContain(keyShare);
    expect(types).not.toContain(compressCertificate);
  });

  it('forwards plain connections, counts them and drains', async () => {
    const app = await listening((socket) => socket.pipe(socket));
    const engine = started({
      decide: () => ({ allow: true, endpoints: [{ protocol: 'tcp', dial: app, counters: 3 }] }),
    });
    const { address } = engine.listen({ kind: 'forward', address: '127.0.0.1:0' });
    const socket = await engine.dial({ endpoint: { protocol: 'tcp', dial: address } });
    socket.end('ping');
    expect(await text(socket)).toBe('ping');
    await engine.drain(5000);
    expect(engine.counters(3)).toMatchObject({ opened: 1, closed: 1, bytesUp: 4, bytesDown: 4 });
    await expect(engine.dial({ endpoint: { protocol: 'tcp', dial: address } })).rejects.toThrow();
  });

  it('rejects refused dials with the errno, and bad credentials with what is wrong', async () => {
    const engine = started();
    const dialling = engine.dial({ endpoint: { protocol: 'tcp', dial: '127.0.0.1:1' } });
    await expect(dialling).rejects.toMatchObject({ code: 'ERR_ONEHOP_DIAL_REFUSED', number: 111 });
    expect(() => engine.putCredential({ chainPem: 'x', keyPem: 'y', rootsPem: 'z' })).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^ERR_ONEHOP_/) as string }));
    expect(() => engine.listen({ kind: 'forward', address: 'nowhere' })).toThrow();
    const { address } = engine.listen({ kind: 'forward', address: '127.0.0.1:0' });
    const refused = (given: ListenInput, code: string, number: number): void =>
      expect(() => engine.listen(given)).toThrow(expect.objectContaining({ code, number }));
    refused({ kind: 'forward', address: '192.0.2.1:80' }, 'ERR_ONEHOP_LISTEN', 99);
    refused({ kind: 'forward', address, netns: '/no/such' }, 'ERR_ONEHOP_REMOVED', 2);
    const taken = await listening(() => undefined);
    refused({ kind: 'forward', address: taken }, 'ERR_ONEHOP_LISTEN', 98);
  });

  it('gives up a dial when its signal says so, before, during and after', async () => {
    const app = await listening((socket) => socket.pipe(socket));
    const engine = started();
    const reason = new Error('enough');
    const endpoint = { protocol: 'tcp', dial: app } as const;
    await expect(engine.dial({ endpoint, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(engine.engineCounters().flowsOpened).toBe(0);
    const during = new AbortController();
    // Nobody answers on this address of the test network (RFC 5737).
    const dialling = engine.dial({
      endpoint: { protocol: 'tcp', dial: '192.0.2.1:9' }, signal: during.signal,
    });
    const gaveUp = expect(dialling).rejects.toBe(reason);
    during.abort(reason);
    await gaveUp;
    // The engine opens it all the same; its socket goes no further.
    const late = new AbortController();
    const opening = engine.dial({ endpoint, signal: late.signal });
    const refused = expect(opening).rejects.toBe(reason);
    late.abort(reason);
    await refused;
    const after = new AbortController();
    const socket = await engine.dial({ endpoint, signal: after.signal });
    after.abort();
    expect(await text(socket.end('still'))).toBe('still');
    await until(() => engine.engineCounters().flowsOpened - engine.engineCounters().flowsClosed <= 1);
  });

  it('refuses what is no endpoint, with a code', async () => {
    const engine = started();
    for (const endpoint of [{}, { protocol: 'udp' }, { protocol: 'tcp', dial: 'x' },
      { protocol: 'tcp', dial: '127.0.0.1:0' }, { protocol: 'hbone', dial: '127.0.0.1:1' },
      { protocol: 'tcp', dial: '127.0.0.1:1', bind: '::1' }, { protocol: 'tcp', dial: 5 },
      { protocol: 'tcp', dial: '127.0.0.1:1', weight: 0 }]) {
      await expect(engine.dial({ endpoint: endpoint as EndpointInput }), JSON.stringify(endpoint))
        .rejects.toMatchObject({ code: expect.stringMatching(/^ERR_ONEHOP_(ARGUMENT|BAD_REQUEST)$/) as string });
    }
    expect(() => engine.putCredential({} as CredentialSpec)).toThrow(
      expect.objectContaining({ code: 'ERR_ONEHOP_ARGUMENT' }));
    expect(() => engine.removeCredential(77)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^ERR_ONEHOP_/) as string }));
  });

  it('denies when decide never answers, in time, and hears of it by the summary', async () => {
    const summaries: FlowSummary[] = [];
    const engine = Engine.start({ upcallTimeoutMs: 100 }, {
      decide: () => new Promise(() => undefined), summaries: (ended) => summaries.push(...ended),
    });
    cleanups.push(() => engine.stop());
    const { address } = engine.listen({ kind: 'forward', address: '127.0.0.1:0' });
    const socket = await engine.dial({ endpoint: { protocol: 'tcp', dial: address } });
    await once(socket.resume(), 'close').catch(() => undefined);
    await until(() => summaries.some(({ reason }) => reason === 'upcall-timeout'));
    expect(engine.engineCounters().upcallTimeouts).toBe(1);
  });

  it('may be stopped in the middle of a decision and of a delivery', async () => {
    const ended: string[] = [];
    for (const where of ['decide', 'deliver', 'summaries'] as const) {
      const engine: Engine = Engine.start({}, {
        decide: () => {
          if (where === 'decide') engine.stop();
          return { allow: true, endpoints: [{ protocol: 'local' }] };
        },
        deliver: (socket) => {
          if (where === 'deliver') engine.stop();
          socket.on('error', () => undefined).destroy();
        },
        summaries: () => {
          if (where === 'summaries') engine.stop();
        },
        failed: (error) => ended.push(error.code),
      });
      const { address } = engine.listen({ kind: 'forward', address: '127.0.0.1:0' });
      const { connect } = await import('node:net');
      const [host = '', port = ''] = address.split(':');
      const socket = connect(Number(port), host);
      await new Promise((done) => socket.on('error', done).on('close', done).resume());
      engine.stop();
      await expect(engine.flows()).rejects.toMatchObject({ code: 'ERR_ONEHOP_LOCAL_CLOSED' });
    }
    expect(ended).toEqual([]);
  });

  it('answers requests under way when it is stopped', async () => {
    const engine = started();
    // Nobody answers on this address of the test network (RFC 5737).
    const dialling = engine.dial({ endpoint: { protocol: 'tcp', dial: '192.0.2.1:9' } });
    const failed = expect(dialling).rejects.toMatchObject({ name: 'EngineError' });
    await engine[Symbol.asyncDispose]();
    await failed;
    expect(engine.engineCounters().accepted).toBe(0);
  });
});
