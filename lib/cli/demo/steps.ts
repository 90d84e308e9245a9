import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';

import { BlockCheck } from './block.js';
import { clientId, serverId, waitFor, type NodeProcess, type Scene } from './scene.js';
import { connectAs, readAll, readExactly, SocksRefusal } from './socks.js';
import { Tap } from './tap.js';

export interface Report {
  /** A fact of the step under way. */
  say(text: string): void;
}

export interface Step {
  readonly title: string;
  run(scene: Scene, report: Report): Promise<void>;
}

function must(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

const nodes = (scene: Scene): { a: NodeProcess; b: NodeProcess } => {
  if (scene.a === undefined || scene.b === undefined) throw new Error('the node proxies do not run');
  return { a: scene.a, b: scene.b };
};

interface Tunnels { tunnels: { localIdentity: string; peerIdentity: string; dial: string }[] }
interface Flows { flows: { kind: string; peerIdentity: string; authority: string }[] }

async function ask<T>(node: NodeProcess, path: string): Promise<T> {
  const { status, body } = await node.get(15_000, path);
  must(status === 200, `${path} answered ${status}`);
  return JSON.parse(body) as T;
}

async function echoes(socket: Socket, text: string): Promise<boolean> {
  socket.write(text);
  return (await readExactly(socket, text.length)).toString() === text;
}

/** A live flow to the service, proven by an echo. */
async function openEcho(scene: Scene): Promise<Socket> {
  const socket = await connectAs(scene.client, scene.vip, 80);
  socket.write('ECHO\n');
  must(await echoes(socket, 'ping'), 'the echo came back changed');
  return socket;
}

/** Sums the samples of a family. */
async function metric(node: NodeProcess, name: string): Promise<number> {
  const { body } = await node.get(15_020, '/metrics');
  return body.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

const start: Step = {
  title: 'A certificate authority, two node proxies, and an application behind each',
  async run(scene, { say }) {
    await scene.makeAuthority();
    await scene.writeMesh();
    await scene.startApp();
    const b = scene.startNode('node-b');
    await b.ready();
    say(`authority in ${scene.caDir}`);
    say(`node-b is process ${b.pid}, serving workload b at ${scene.server}`);
    say(`the service web.demo.svc.cluster.local is ${scene.vip}:80, its application at `
      + `${scene.server}:8080`);
  },
};

const tapPort = 15_018;

const secret: Step = {
  title: 'A request from workload a to the service, over a wire that is listened to',
  async run(scene, { say }) {
    const tap = await Tap.listen(scene.server, tapPort, { host: scene.server, port: 15_008 });
    const a = scene.startNode('node-a', ['--peer-port', String(tapPort)]);
    await a.ready();
    say(`node-a is process ${a.pid}, serving workload a at ${scene.client}; its tunnels pass a relay`);
    try {
      await theRequest(scene, say);
      await theIdentities(scene, say);
      await theWire(scene, tap, say);
    } finally {
      const code = await a.stop();
      await tap.close();
      must(code === 0, `node-a ended with ${code}`);
    }
  },
};

async function theRequest(scene: Scene, say: Report['say']): Promise<void> {
  const socket = await connectAs(scene.client, scene.vip, 80);
  socket.end('GET /hello HTTP/1.1\r\nhost: web\r\n\r\n');
  const reply = (await readAll(socket)).toString();
  const body = JSON.parse(reply.slice(reply.indexOf('\r\n\r\n') + 4)) as {
    answer: string; callerAddress: string;
  };
  must(reply.startsWith('HTTP/1.1 200'), `the service answered ${reply.slice(0, 40)}`);
  must(body.callerAddress === scene.client,
    `the application saw ${body.callerAddress} as its caller, not ${scene.client}`);
  say(`answered: "${body.answer}", and the application saw its caller's own address `
    + body.callerAddress);
}

/** What each side verified from the other's certificate, not what either claims. */
async function theIdentities(scene: Scene, say: Report['say']): Promise<void> {
  const { a, b } = nodes(scene);
  const socket = await openEcho(scene);
  const { tunnels } = await ask<Tunnels>(a, '/tunnels');
  const { flows } = await ask<Flows>(b, '/flows');
  socket.destroy();
  const tunnel = tunnels.find(({ peerIdentity }) => peerIdentity === serverId);
  const flow = flows.find(({ kind, peerIdentity }) => kind === 'hbone' && peerIdentity === clientId);
  must(tunnel?.localIdentity === clientId, `node-a has no tunnel as ${clientId} to ${serverId}`);
  must(flow !== undefined, `node-b has no flow from ${clientId}`);
  say(`node-a is ${clientId} and verified ${tunnel?.peerIdentity ?? ''}`);
  say(`node-b is ${serverId} and verified ${flow?.peerIdentity ?? ''}`);
}

async function theWire(scene: Scene, tap: Tap, say: Report['say']): Promise<void> {
  const marker = `onehop-demo-${randomBytes(12).toString('hex')}`;
  const text = `${marker} `.repeat(64);
  const socket = await openEcho(scene);
  must(await echoes(socket, text), 'the marked text came back changed');
  socket.destroy();
  const { kept } = tap;
  must(kept.length > 2 * text.length, `only ${kept.length} bytes passed the relay`);
  must(kept.includes(Buffer.from([0x16, 0x03])), 'no TLS handshake passed the relay');
  for (const readable of [marker, 'GET /hello', 'ECHO', 'demo.svc', 'spiffe://', ':authority']) {
    must(!kept.includes(readable), `${JSON.stringify(readable)} is readable between the proxies`);
  }
  say(`${tap.bytes} bytes passed between the proxies: neither the marked text (sent 64 times each way), `
    + 'nor the request, nor an identity is readable in them');
}

const restart: Step = {
  title: 'node-a again, now straight to node-b',
  async run(scene, { say }) {
    const a = scene.startNode('node-a');
    await a.ready();
    (await openEcho(scene)).destroy();
    say(`node-a drained, ended with 0, and runs again as process ${a.pid}`);
  },
};

const denyPolicy = {
  name: 'no-client', namespace: 'demo', scope: 'Namespace', action: 'Deny',
  rules: [[[{ principals: [{ Exact: clientId.slice('spiffe://'.length) }] }]]],
};

const policy: Step = {
  title: 'A policy change cuts the live flow and denies new ones',
  async run(scene, { say }) {
    const { b } = nodes(scene);
    const socket = await openEcho(scene);
    // It ends by a reset, as a connection does that is refused further service.
    const closed = new Promise((done) => socket.resume().once('close', done));
    await scene.writeMesh([denyPolicy]);
    const begin = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, fail) => {
      timer = setTimeout(() => fail(new Error('the live flow was not cut')), 5_000);
    });
    await Promise.race([closed, late]);
    clearTimeout(timer);
    say(`a live flow was cut ${Math.round(performance.now() - begin)} ms after the mesh file changed`);
    const refusal = await connectAs(scene.client, scene.vip, 80).then(
      (allowed) => (allowed.destroy(), undefined), (error: unknown) => error);
    must(refusal instanceof SocksRefusal, `a new flow was not refused: ${String(refusal)}`);
    let reason = '';
    await waitFor('the reason in the log of node-b', 5_000, () => {
      const line = b.lines.findLast((one) => one['policy'] === 'demo/no-client'
        && one['reason'] === 'denied');
      reason = String(line?.['error'] ?? '');
      return line !== undefined;
    });
    say(`a new flow was refused; node-b says why: "${reason}"`);
    await scene.writeMesh();
    await waitFor('the flow to be allowed again', 5_000, () => openEcho(scene).then(
      (allowed) => (allowed.destroy(), true), () => false));
    say('without the policy it is allowed again');
  },
};

async function download(scene: Scene, bytes: number): Promise<number> {
  const socket = await connectAs(scene.client, scene.vip, 80);
  const check = new BlockCheck();
  const begin = performance.now();
  socket.end(`BULK ${bytes}\n`);
  socket.on('data', (chunk: Buffer) => check.add(chunk));
  await once(socket, 'end');
  socket.destroy();
  must(check.same && check.bytes === bytes, `${check.bytes} of ${bytes} bytes came, `
    + (check.same ? 'unchanged' : 'changed'));
  return performance.now() - begin;
}

const bulk: Step = {
  title: 'A bulk transfer through both proxies',
  async run(scene, { say }) {
    const bytes = 512 << 20;
    await download(scene, 16 << 20);
    const ms = await download(scene, bytes);
    const gbits = (bytes * 8) / ms / 1e6;
    say(`${bytes >> 20} MiB in ${(ms / 1000).toFixed(2)} s: ${gbits.toFixed(2)} Gbit/s, every byte `
      + 'compared (both ends are Node applications; bench/ measures the proxies alone)');
  },
};

const pool: Step = {
  title: 'What the tunnel pool did',
  async run(scene, { say }) {
    const { a } = nodes(scene);
    const flows = 200;
    const sockets = await Promise.all(Array.from({ length: flows }, () => openEcho(scene)));
    const [active, tunnels, dialled, reused] = await Promise.all([
      metric(a, 'onehop_flows_active'), metric(a, 'onehop_tunnels_active'),
      metric(a, 'onehop_tunnels_dialled_total'), metric(a, 'onehop_tunnels_reused_total')]);
    for (const socket of sockets) socket.destroy();
    say(`${active} flows at once over ${tunnels} tunnels; ${dialled} handshakes were needed in all, `
      + `${reused} flows found a tunnel open`);
    must(active >= flows, `only ${active} of ${flows} flows were counted`);
    must(tunnels > 0 && tunnels <= flows / 50, `${tunnels} tunnels for ${flows} flows`);
    must(reused >= flows / 2, `only ${reused} flows found a tunnel open`);
  },
};

const end: Step = {
  title: 'Both node proxies drain and end',
  async run(scene, { say }) {
    const { a, b } = nodes(scene);
    const codes = await Promise.all([a.stop(), b.stop()]);
    must(codes.every((code) => code === 0), `they ended with ${codes.join(' and ')}`);
    say('both ended with 0');
  },
};

export const steps: readonly Step[] = [start, secret, restart, policy, bulk, pool, end];
