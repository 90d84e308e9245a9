import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import tls from 'node:tls';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { policy, TestMesh } from './support/mesh.js';
import { peerScript, python, pythonMissing } from './support/peers.js';
import { Daemon, run, until } from './support/processes.js';
import {
  closed,
  connectSocks,
  echoServer,
  exchange,
  pattern,
  readExactly,
  SocksError,
  type TestServer,
} from './support/sockets.js';

let mesh: TestMesh;
let echo: TestServer;
let files: { cert: string; key: string; root: string };
const clientId = 'spiffe://cluster.local/ns/demo/sa/client';
const serverId = 'spiffe://cluster.local/ns/demo/sa/server';
const prefix = '127.21.20';

beforeAll(async () => {
  mesh = await TestMesh.create(prefix, (file) => {
    const [first] = file.workloads;
    for (const [name, last] of [
      ['node-peer', 11],
      ['python-peer', 12],
      ['wrong-peer', 13],
    ] as const) {
      file.workloads.push({
        ...first,
        uid: `cluster1//v1/Pod/demo/${name}`,
        name,
        serviceAccount: name,
        workloadIps: [`${prefix}.${last}`],
        node: 'elsewhere',
      });
    }
    file.policies.push(policy('no-banned', 'Deny', { principals: [{ Suffix: '/sa/banned' }] }));
  });
  await mesh.start();
  echo = await echoServer(mesh.server, 8080);
  files = await mesh.issue(clientId, 'independent');
}, 60_000);

afterAll(async () => {
  await echo?.close();
  await mesh?.stop();
});

const pem = (f: typeof files): { cert: Buffer; key: Buffer; ca: Buffer } => ({
  cert: readFileSync(f.cert),
  key: readFileSync(f.key),
  ca: readFileSync(f.root),
});

async function nodeConnect(
  authority: string,
  identity = files,
): Promise<{
  session: http2.ClientHttp2Session;
  stream: http2.ClientHttp2Stream;
  status: number;
  headers: http2.IncomingHttpHeaders;
}> {
  const socket = tls.connect({
    host: mesh.server,
    port: 15008,
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.3',
    ...pem(identity),
    checkServerIdentity: () => undefined,
  });
  await once(socket, 'secureConnect');
  expect(socket.getPeerCertificate().subjectaltname).toContain(serverId);
  const session = http2.connect(`https://${mesh.server}:15008`, { createConnection: () => socket });
  session.on('error', () => undefined);
  const stream = session.request(
    { ':method': 'CONNECT', ':authority': authority },
    { endStream: false },
  );
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  return { session, stream, status: Number(headers[':status']), headers };
}

describe("Node's own http2 over tls", () => {
  it('opens a tunnel to a workload and moves a mebibyte each way', async () => {
    const { session, stream, status } = await nodeConnect(`${mesh.server}:8080`);
    expect(status).toBe(200);
    const sent = pattern(1 << 20);
    stream.end(sent);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(sent)).toBe(true);
    session.close();
  });

  it('answers 400, 503 and 401 for what it will not carry', async () => {
    const banned = await mesh.issue('spiffe://cluster.local/ns/demo/sa/banned', 'banned');
    const cases = [
      [`${prefix}.99:8080`, 400, files],
      [`${mesh.server}:9`, 503, files],
      [`${mesh.server}:15008`, 503, files],
      [`${mesh.server}:8080`, 401, banned],
    ] as const;
    for (const [authority, expected, identity] of cases) {
      const { session, status } = await nodeConnect(authority, identity);
      expect([authority, status]).toEqual([authority, expected]);
      session.destroy();
    }
  });

  it('is refused without a certificate and with one of another trust domain or root', async () => {
    const attempt = async (options: tls.ConnectionOptions): Promise<string> => {
      const socket = tls.connect({
        host: mesh.server,
        port: 15008,
        ALPNProtocols: ['h2'],
        ca: pem(files).ca,
        checkServerIdentity: () => undefined,
        ...options,
      });
      socket.on('secureConnect', () => socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
      socket.resume();
      const code = await closed(socket);
      return code;
    };
    expect(await attempt({})).toMatch(/CERTIFICATE_REQUIRED$/);
    // Our own root signing for another trust domain, and another root signing for ours.
    const domain = await mesh.issueByAnotherCa('foreign-domain', 'other.domain', 'same root');
    expect(await attempt(pem(domain))).toMatch(/HANDSHAKE_FAILURE$/);
    const root = await mesh.issueByAnotherCa('foreign-root', 'cluster.local', 'new root');
    expect(await attempt({ ...pem(root), ca: pem(files).ca })).toMatch(/UNKNOWN_CA$/);
    const old = await attempt({ ...pem(files), maxVersion: 'TLSv1.2' });
    expect(old).toMatch(/PROTOCOL_VERSION$/);
    const http1 = await attempt({ ...pem(files), ALPNProtocols: ['http/1.1'] });
    expect(http1).toMatch(/NO_APPLICATION_PROTOCOL$/);
  });

  it('serves as the far end of our outbound tunnels', async () => {
    const identity = await mesh.issue('spiffe://cluster.local/ns/demo/sa/node-peer', 'node-peer');
    let seen: http2.IncomingHttpHeaders | undefined;
    let peer = '';
    const server = http2.createSecureServer({
      ...pem(identity),
      requestCert: true,
      rejectUnauthorized: true,
    });
    server.on('stream', (stream, headers) => {
      seen = headers;
      const { socket } = stream.session ?? {};
      peer = (socket as tls.TLSSocket).getPeerCertificate().subjectaltname ?? '';
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    server.on('sessionError', () => undefined);
    server.listen(15008, `${prefix}.11`);
    await once(server, 'listening');
    try {
      const socks = { host: mesh.client, port: 15080, localAddress: mesh.client };
      const socket = await connectSocks(socks, `${prefix}.11`, 7777);
      const from = `${socket.localAddress}:${socket.localPort}`;
      const result = await exchange(socket, 3_000_000);
      expect(result.received).toBe(result.sent);
      expect(peer).toContain(clientId);
      expect(seen?.[':method']).toBe('CONNECT');
      expect(seen?.[':authority']).toBe(`${prefix}.11:7777`);
      expect(seen?.['baggage']).toContain('k8s.namespace.name=demo');
      expect(from).toMatch(/^127\.21\.20\.2:/);
      expect(seen?.['forwarded']).toMatch(new RegExp(`^for="${from}"`));
      expect(seen?.['traceparent']).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
    } finally {
      server.close();
    }
  });

  it('is not trusted when it is not the workload it should be', async () => {
    const identity = await mesh.issue('spiffe://cluster.local/ns/demo/sa/impostor', 'impostor');
    let streams = 0;
    const server = http2.createSecureServer({ ...pem(identity), requestCert: true });
    server.on('stream', () => streams++);
    server.on('sessionError', () => undefined);
    server.listen(15008, `${prefix}.13`);
    await once(server, 'listening');
    try {
      await expect(mesh.connect(`${prefix}.13`, 7777)).rejects.toBeInstanceOf(SocksError);
      expect(streams).toBe(0);
      await until(() => mesh.a.daemon.output.includes('impostor'), {
        what: 'the log to name the impostor',
      });
    } finally {
      server.close();
    }
  });
});

describe.skipIf(pythonMissing !== undefined)(`Python's h2 over ssl ${pythonMissing ?? ''}`, () => {
  const peer = (
    role: string,
    address: string,
    f: typeof files,
    more: readonly string[],
  ): string[] => [
    peerScript('hbone_peer.py'),
    role,
    '--address',
    address,
    '--cert',
    f.cert,
    '--key',
    f.key,
    '--root',
    f.root,
    ...more,
  ];

  it('opens a tunnel as a client', async () => {
    const input = 'x'.repeat(300_000);
    const args = peer('client', `${mesh.server}:15008`, files, [
      '--authority',
      `${mesh.server}:8080`,
    ]);
    const result = await run(python, args, { input });
    const facts = JSON.parse(result.stdout) as Record<string, unknown>;
    expect(facts).toMatchObject({
      status: '200',
      same: true,
      received: 300_000,
      alpn: 'h2',
      peer: [serverId],
    });
  });

  it('is answered 400 for a method other than CONNECT', async () => {
    const args = peer('client', `${mesh.server}:15008`, files, [
      '--authority',
      `${mesh.server}:8080`,
      '--method',
      'GET',
    ]);
    expect(JSON.parse((await run(python, args)).stdout)).toMatchObject({ status: '400' });
  });

  it('serves as the far end, and its refusal reaches the caller', async () => {
    const identity = await mesh.issue(
      'spiffe://cluster.local/ns/demo/sa/python-peer',
      'python-peer',
    );
    const address = `${prefix}.12`;
    const server = new Daemon(python, ['-u', ...peer('server', `${address}:15008`, identity, [])]);
    try {
      await server.waitForOutput('listening');
      const result = await exchange(await mesh.connect(address, 4321), 1_500_000);
      expect(result.received).toBe(result.sent);
      expect(server.output).toContain(clientId);
      const aborted = await mesh.connect(address, 4321);
      aborted.write('x');
      await readExactly(aborted, 1);
      aborted.resetAndDestroy();
      await server.waitForOutput('"event": "reset"');
    } finally {
      await server.stop('SIGKILL');
    }
    const refusing = new Daemon(python, [
      '-u',
      ...peer('server', `${address}:15008`, identity, ['--refuse', '503']),
    ]);
    try {
      await refusing.waitForOutput('listening');
      await until(
        async () => {
          const error = await mesh.connect(address, 4321).then(
            (s) => (s.destroy(), undefined),
            (e: unknown) => e,
          );
          expect(error).toBeInstanceOf(SocksError);
          return refusing.output.includes('"event": "connect"');
        },
        { everyMs: 200 },
      );
    } finally {
      await refusing.stop('SIGKILL');
    }
  });
});
