import { appendFile, readFile, unlink, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';

import { afterEach, describe, expect, it } from 'vitest';

import { get, metric, policy, TestMesh, type MeshFile } from './support/mesh.js';
import { Daemon, onehop, until } from './support/processes.js';
import { closed, echoServer, listen, readExactly, type TestServer } from './support/sockets.js';

let mesh: TestMesh | undefined;
let servers: TestServer[] = [];
let daemons: Daemon[] = [];

afterEach(async () => {
  for (const server of servers) await server.close();
  for (const daemon of daemons) await daemon.stop('SIGKILL');
  await mesh?.stop();
  servers = [];
  daemons = [];
  mesh = undefined;
});

async function setUp(prefix: string, edit?: (file: MeshFile) => void): Promise<TestMesh> {
  mesh = await TestMesh.create(prefix, edit);
  return mesh;
}

/** Starts node-a without waiting for it. */
function launch(
  m: TestMesh,
  more: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Daemon {
  const [program = '', ...args] = m.nodeArgs('node-a', `${m.prefix}.201`, more);
  const daemon = new Daemon(program, args, env);
  daemons.push(daemon);
  return daemon;
}

const surfaces = (host: string): string[] => [
  '--admin',
  `${host}:15000`,
  '--stats',
  `${host}:15020`,
  '--ready',
  `${host}:15021`,
];

function ask(
  host: string,
  port: number,
  method: string,
  path: string,
): Promise<{ status: number; type: string; body: string }> {
  return new Promise((done, fail) => {
    const request = http.request({ host, port, method, path, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.once('end', () =>
        done({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          body,
        }),
      );
    });
    request.once('error', fail);
    request.end();
  });
}

describe('a node proxy that cannot start', () => {
  it('says why, and ends with 2 for what can be corrected, 1 for a port that is taken', async () => {
    const m = await setUp('127.21.50');
    const base = ['node', '--node', 'node-a', '--mesh', m.meshPath, '--ca-dir', m.caDir];
    const fails = async (...more: string[]): Promise<[number | null, string]> => {
      const { code, stdout, stderr } = await onehop([
        ...base,
        ...surfaces(`${m.prefix}.201`),
        ...more,
      ]);
      expect(stdout).toBe('');
      return [code, stderr];
    };
    expect(await fails('--mesh', '/no/mesh.yaml')).toEqual([
      2,
      'onehop: /no/mesh.yaml: error: there is no such file\n',
    ]);
    expect(await fails('--ca-dir', '/no/ca')).toEqual([
      2,
      'onehop: --ca-dir: /no/ca/ca.pem: not found; ' +
        "make an authority with 'onehop ca init --dir /no/ca'\n",
    ]);
    expect(await fails('--admin', '192.0.2.1:15000')).toEqual([
      2,
      'onehop: --admin 192.0.2.1:15000: ' +
        'cannot listen on 192.0.2.1:15000: EADDRNOTAVAIL; an address of this machine would be right\n',
    ]);
    const taken = await listen(`${m.prefix}.202`, () => undefined);
    servers.push(taken);
    const address = `${m.prefix}.202:${taken.address.port}`;
    expect(await fails('--stats', address)).toEqual([
      1,
      `onehop: --stats ${address}: cannot listen on ` +
        `${address}: EADDRINUSE; another port would be right\n`,
    ]);
    await m.write('workloads: [x\n');
    const [code, why] = await fails();
    expect(code).toBe(2);
    expect(why).toMatch(/mesh\.yaml:2:1: error: this is not YAML/);
  }, 60_000);
});

describe('a node proxy that starts', () => {
  it('says nothing but its log, and loads no part of Node that it does not use', async () => {
    const m = await setUp('127.21.49');
    const atEnd =
      "import { isMainThread } from 'node:worker_threads';" +
      "const tell = () => process._rawDebug(process.moduleLoadList.join());" +
      "if (isMainThread) process.on('exit', tell)";
    const daemon = launch(m, [], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(atEnd)}`,
    });
    await daemon.waitForOutput('"message":"ready"');
    expect(daemon.output.split('\n').filter((line) => !/^(\{.*\})?$/.test(line))).toEqual([]);
    daemon.child.kill('SIGTERM');
    expect(await daemon.exited).toBe(0);
    const loaded = /^Internal Binding .*$/m.exec(daemon.output)?.[0].split(',') ?? [];
    expect(loaded).toContain('NativeModule http');
    for (const heavy of ['http2', 'tls', 'internal/deps/undici/undici']) {
      expect(loaded).not.toContain(`NativeModule ${heavy}`);
    }
  }, 60_000);
});

describe('signals', () => {
  const crowd = (file: MeshFile): void => {
    const [first] = file.workloads;
    for (let i = 0; i < 200; i++) {
      const name = `w${i}`;
      file.workloads.push({
        ...first,
        uid: name,
        name,
        serviceAccount: name,
        workloadIps: [`127.21.52.${i + 5}`],
      });
    }
  };

  it('while it starts: SIGHUP does nothing, SIGTERM ends it with 0', async () => {
    const m = await setUp('127.21.51', crowd);
    const daemon = launch(m);
    await daemon.waitForOutput('mesh applied');
    daemon.child.kill('SIGHUP');
    await until(async () => (await get(`${m.prefix}.201`, 15021, '/healthz/ready')).status === 500);
    expect(daemon.running).toBe(true);
    daemon.child.kill('SIGTERM');
    expect(await daemon.exited).toBe(0);
    expect(daemon.output).not.toContain('"message":"ready"');
  }, 60_000);

  it('a second SIGINT ends it at once with 1, though a flow lives', async () => {
    const m = await setUp('127.21.53');
    await m.start({ a: { args: ['--drain-deadline', '1h'] } });
    servers.push(await echoServer(m.server, 8080));
    const socket = await m.connect();
    socket.on('error', () => undefined);
    m.a.daemon.child.kill('SIGINT');
    await m.a.daemon.waitForOutput('"message":"draining"');
    const reply = await get(m.a.host, 15021, '/healthz/ready');
    expect(reply).toEqual({ status: 500, body: 'not ready, pending: draining\n' });
    m.a.daemon.child.kill('SIGINT');
    expect(await m.a.daemon.exited).toBe(1);
    socket.destroy();
  }, 60_000);

  it('SIGHUP reads the mesh file and tells so', async () => {
    const m = await setUp('127.21.54');
    await m.start();
    m.a.daemon.child.kill('SIGHUP');
    await m.a.daemon.waitForOutput('mesh file read; nothing changed');
    await unlink(m.meshPath);
    await m.a.daemon.waitForOutput('there is no such file');
    const before = m.a.daemon.output.split('there is no such file').length;
    m.a.daemon.child.kill('SIGHUP');
    await until(() => m.a.daemon.output.split('there is no such file').length > before);
  }, 60_000);
});

describe('what it shows', () => {
  it('answers on its three addresses with the types and refusals of each', async () => {
    const m = await setUp('127.21.55');
    await m.start();
    const { host } = m.a;
    const text = 'text/plain; charset=utf-8';
    const cases: readonly (readonly [number, string, string, number, string, RegExp])[] = [
      [15021, 'GET', '/healthz/ready', 200, text, /^ready\n$/],
      [15021, 'POST', '/healthz/ready', 405, text, /GET would be right/],
      [15021, 'GET', '/metrics', 404, text, /nothing at \/metrics/],
      [15020, 'GET', '/metrics', 200, 'text/plain; version=0.0.4; charset=utf-8', /onehop_build/],
      [
        15020,
        'GET',
        '/stats/prometheus',
        200,
        'text/plain; version=0.0.4; charset=utf-8',
        /istio_tcp/,
      ],
      [15000, 'GET', '/', 200, text, /\/config_dump/],
      [15000, 'GET', '/config_dump', 200, 'application/json', /"workloads"/],
      [15000, 'GET', '/flows', 200, 'application/json', /"flows": \[\]/],
      [15000, 'GET', '/tunnels', 200, 'application/json', /"tunnels": \[\]/],
      [15000, 'GET', '/logging', 405, text, /POST would be right/],
      [15000, 'POST', '/logging', 200, text, /^current log level is info\n$/],
      [15000, 'POST', '/logging?level=loud', 400, text, /off, error, warn, info, debug, trace/],
      [15000, 'POST', '/logging?level=debug', 200, text, /^current log level is debug\n$/],
      [15000, 'POST', '/logging?reset', 200, text, /^current log level is info\n$/],
      [15000, 'GET', '/quitquitquit', 405, text, /POST would be right/],
    ];
    for (const [port, method, path, status, type, body] of cases) {
      const reply = await ask(host, port, method, path);
      expect([method, path, reply.status, reply.type]).toEqual([method, path, status, type]);
      expect(reply.body).toMatch(body);
    }
    const dump = (await ask(host, 15000, 'GET', '/config_dump')).body;
    expect(dump).not.toContain('PRIVATE KEY');
    expect(await ask(host, 15000, 'POST', '/quitquitquit')).toMatchObject({
      status: 200,
      body: 'shutdown now\n',
    });
    expect(await m.a.daemon.exited).toBe(0);
  }, 60_000);

  it('counts every flow once as opened and once as closed, however it ends', async () => {
    const m = await setUp('127.21.64', (file) =>
      file.policies.push(policy('no-9', 'Deny', { destinationPorts: [9] })),
    );
    await m.start();
    servers.push(await echoServer(m.server, 8080));
    const places: readonly (readonly [string, number])[] = [
      [m.server, 8080],
      [m.server, 9],
      [m.server, 7],
      [m.vip, 81],
      [m.client, 15001],
      ['nowhere', 80],
    ];
    for (const [host, port] of places) {
      await m.connect(host, port).then(
        (socket) => socket.destroy(),
        () => undefined,
      );
    }
    const count = (text: string, what: string, flags?: string): number =>
      metric(
        text,
        `istio_tcp_connections_${what}_total`,
        flags === undefined ? {} : { response_flags: flags },
      );
    await until(async () => count(await m.a.metrics(), 'closed') === places.length);
    const [a, b] = await Promise.all([m.a.metrics(), m.b.metrics()]);
    expect([
      count(a, 'opened'),
      count(a, 'closed'),
      count(a, 'closed', '-'),
      count(a, 'closed', 'DENY'),
      count(a, 'failed'),
    ]).toEqual([6, 6, 1, 1, 5]);
    expect([
      count(b, 'opened'),
      count(b, 'closed'),
      count(b, 'closed', '-'),
      count(b, 'closed', 'DENY'),
      count(b, 'closed', 'CONNECT'),
      count(b, 'failed'),
    ]).toEqual([3, 3, 1, 1, 1, 2]);
  }, 60_000);

  it('logs flows that end well at info and counts them at every level', async () => {
    const m = await setUp('127.21.65', (file) =>
      file.policies.push(policy('no-9', 'Deny', { destinationPorts: [9] })),
    );
    await m.start();
    servers.push(await echoServer(m.server, 8080));
    let flows = 0;
    const flow = async (port: number): Promise<void> => {
      await m.connect(m.server, port).then(
        async (socket) => {
          socket.end('hello');
          expect(String(await readExactly(socket, 5))).toBe('hello');
          await closed(socket);
        },
        () => undefined,
      );
      flows += 1;
      await until(
        async () => metric(await m.a.metrics(), 'istio_tcp_connections_closed_total') === flows,
      );
    };
    const lines = (level: string): number =>
      m.a.daemon.output.split(`"level":"${level}"`).filter((text) => /^[^\n]*"access"/.test(text))
        .length;
    const level = (query: string): Promise<unknown> =>
      ask(m.a.host, 15000, 'POST', `/logging?${query}`);
    await flow(8080);
    await until(() => lines('info') === 1);
    await level('level=warn');
    await flow(8080);
    await flow(8080);
    await flow(9);
    await until(() => lines('error') === 1);
    await level('reset');
    await flow(8080);
    await until(() => lines('info') === 2);
  }, 60_000);

  it('shows a refused mesh file until it is right again', async () => {
    const m = await setUp('127.21.56');
    await m.start();
    const refused = async (): Promise<number> => metric(await m.a.metrics(), 'onehop_mesh_refused');
    const shown = async (): Promise<unknown> =>
      (JSON.parse((await get(m.a.host, 15000, '/config_dump')).body) as Record<string, unknown>)[
        'meshError'
      ];
    const good = await readFile(m.meshPath, 'utf8');
    expect([await refused(), await shown()]).toEqual([0, undefined]);
    await m.write(`${good}\nx: 1\n`);
    await until(async () => (await refused()) === 1);
    expect(await shown()).toMatch(/mesh\.yaml:\d+:1: error: "x" is not known here/);
    await m.write(good);
    await until(async () => (await refused()) === 0);
    expect(await shown()).toBeUndefined();
    expect(m.a.daemon.output).toContain('the mesh file is right again');
  }, 60_000);

  it("warns of a node without workloads, and of forwards from nobody's address", async () => {
    const m = await setUp('127.21.57');
    const forward = `${m.prefix}.9:9000=192.0.2.1:80`;
    const more = ['--forward', forward, '--congestion', 'none-such'];
    const daemon = launch(m, ['--node', 'node-x', ...more]);
    await daemon.waitForOutput('"message":"ready"');
    expect(daemon.output).toMatch(
      /"nodes":"node-a,node-b".*no workload of the mesh file is served/,
    );
    expect(daemon.output).toMatch(/127\.21\.57\.9:9000.*has the address to forward from/);
    expect(daemon.output).toMatch(/"congestion":"none-such".*no such congestion control/);
  }, 60_000);

  it('is ready without a workload whose port is taken, says why, and serves it once it is free', async () => {
    const m = await setUp('127.21.58', (file) => {
      const [first] = file.workloads;
      file.workloads.push({ ...first, uid: 'two', name: 'two', workloadIps: ['127.21.58.7'] });
    });
    const squatter = await listen('127.21.58.7', () => undefined, 15008);
    servers.push(squatter);
    await m.start();
    await m.a.daemon.waitForOutput(
      /"workload":"two".*another process listens there.*workload is not served/,
    );
    expect(metric(await m.a.metrics(), 'onehop_workloads', { state: 'failed' })).toBe(1);
    await squatter.close();
    await until(async () => metric(await m.a.metrics(), 'onehop_workloads', { state: 'up' }) === 2);
    await m.a.daemon.waitForOutput(/"workload":"two".*workload is served/);
  }, 60_000);

  it('never colours a log that is no terminal, and writes text with tabs', async () => {
    const m = await setUp('127.21.59');
    const daemon = launch(m, ['--log', 'text']);
    await daemon.waitForOutput('\tready\t');
    expect(daemon.output).not.toContain('\u001b');
    expect(daemon.output).toMatch(/^\S+Z\tinfo\tnode\tready\tnode="node-a" version=/m);
  }, 60_000);
});

async function ping(socket: net.Socket): Promise<void> {
  socket.write('ping');
  expect((await readExactly(socket, 4)).toString()).toBe('ping');
}

describe('a change of the mesh', () => {
  const generations = (m: TestMesh): Promise<number[]> => Promise.all([m.a, m.b].map(
    async ({ metrics }) => metric(await metrics(), 'onehop_generation')));

  /** Resolves once both node proxies have applied a mesh file since `before`. */
  const applied = (m: TestMesh, before: readonly number[]): Promise<void> => until(
    async () => (await generations(m)).every((now, i) => now > (before[i] ?? 0)),
    { what: 'both node proxies to apply the mesh file' });

  /**
   * Milliseconds from the change until all of the flows are cut: the best of some tries, more of
   * them while it is not good, since other processes may hold the processors for a while.
   */
  async function cutMs(
    m: TestMesh,
    change: (file: MeshFile) => void,
    open: () => Promise<net.Socket>,
  ): Promise<number> {
    const good = structuredClone(m.file);
    let best = Infinity;
    for (let round = 0; round < 3 || (best >= 100 && round < 10); round++) {
      await until(
        async () =>
          open().then(
            (probe) => (probe.on('error', () => undefined).destroy(), true),
            () => false,
          ),
        { what: 'flows to be allowed' },
      );
      const sockets = await Promise.all(Array.from({ length: 20 }, open));
      await Promise.all(sockets.map(ping));
      const ends = Promise.all(sockets.map((socket) => closed(socket.resume())));
      const before = await generations(m);
      change(m.file);
      const begin = performance.now();
      await m.write();
      expect(new Set(await ends)).toEqual(new Set(['ECONNRESET']));
      best = Math.min(best, performance.now() - begin);
      await applied(m, before);
      const denied = await generations(m);
      Object.assign(m.file, structuredClone(good));
      await m.write();
      await applied(m, denied);
    }
    return best;
  }

  it('cuts what is no longer allowed within 100 ms, inbound and outbound', async () => {
    const m = await setUp('127.21.60');
    await m.start();
    servers.push(await echoServer(m.server, 8080));
    const inbound = await cutMs(
      m,
      (file) =>
        file.policies.push(
          policy('no', 'Deny', { principals: [{ Exact: 'cluster.local/ns/demo/sa/client' }] }),
        ),
      () => m.connect(),
    );
    const unknown = await cutMs(
      m,
      (file) => Object.assign(file.workloads[1] ?? {}, { authorizationPolicies: ['demo/lost'] }),
      () => m.connect(),
    );
    // What must pass a waypoint does not go round it, also not on a flow that is there.
    const outbound = await cutMs(
      m,
      (file) =>
        Object.assign(file.services[0] ?? {}, {
          waypoint: { destination: `/${m.prefix}.99`, hboneMtlsPort: 15008 },
        }),
      () => m.connect(m.vip, 80),
    );
    for (const ms of [inbound, unknown, outbound]) expect(ms).toBeLessThan(100);
    await m.b.daemon.waitForOutput('the workload names the policy demo/lost, which is not known');
    await m.a.daemon.waitForOutput(
      /connection closed due to policy change: .*behind the waypoint/,
    );
  }, 60_000);

  it('of a name that no header can carry is refused, and nothing falls', async () => {
    const m = await setUp('127.21.61');
    await m.start();
    servers.push(await echoServer(m.server, 8080));
    const socket = await m.connect();
    await ping(socket);
    const good = structuredClone(m.file);
    for (const workload of m.file.workloads) workload['workloadName'] = 'x'.repeat(100_000);
    await m.write();
    await m.a.daemon.waitForOutput('characters are too many');
    await m.b.daemon.waitForOutput('characters are too many');
    await ping(socket);
    Object.assign(m.file, good);
    // As many names as a verdict can carry, and every one of them long.
    const name = `spiffe://cluster.local/ns/${'n'.repeat(250)}/sa/s`;
    Object.assign(m.file.services[0] ?? {}, { subjectAltNames: new Array(255).fill(name) });
    await m.write();
    await until(async () =>
      m.connect(m.vip, 80).then(
        async (other) => (await ping(other), other.destroy(), true),
        () => false,
      ),
    );
    await ping(socket);
    socket.destroy();
  }, 60_000);

  it('written in place, in parts, is taken as a whole', async () => {
    const m = await setUp('127.21.62');
    await m.start();
    const text = await readFile(m.meshPath, 'utf8');
    const more = text.replace(
      'policies: []',
      'policies:\n  - name: p\n    namespace: demo\n' +
        '    scope: Namespace\n    action: Deny\n    rules: []\n',
    );
    await writeFile(m.meshPath, more.slice(0, 200));
    await appendFile(m.meshPath, more.slice(200));
    await m.a.daemon.waitForOutput('"policies":1');
    expect(m.a.daemon.output).not.toContain('is refused');
  }, 60_000);
});
