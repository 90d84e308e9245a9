import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';

import { metric, type MeshFile, TestMesh } from './support/mesh.js';
import { Daemon, run, until } from './support/processes.js';

// Two network namespaces joined by a veth pair, each with a workload. nftables redirects what the
// workloads send and what reaches them in plain text, so capture by original destination is real. Node
// proxies run outside and make their sockets inside (`netns:`). Everything made here is removed here.

const unshared = process.getuid?.() === 0 ? undefined : 'needs root for network namespaces';
const app = resolve(import.meta.dirname, 'peers/tcp_app.py');
const clientNs = `onehop-a-${process.pid}`;
const serverNs = `onehop-b-${process.pid}`;
const clientIp = '192.0.2.2';
const serverIp = '192.0.2.3';

const rules = `
table ip onehop {
  chain output {
    type nat hook output priority -100;
    meta mark 1337 return
    ip daddr 127.0.0.0/8 return
    oifname "lo" return
    meta l4proto tcp redirect to :15001
  }
  chain prerouting {
    type nat hook prerouting priority -100;
    tcp dport { 15001, 15006, 15008 } return
    iifname "lo" return
    meta l4proto tcp redirect to :15006
  }
  chain mark_in {
    type filter hook prerouting priority -150;
    meta mark 1337 ct mark set 273
  }
  chain mark_out {
    type route hook output priority -150;
    ct mark 273 meta mark set 273
  }
}`;

async function sh(program: string, ...args: string[]): Promise<string> {
  const result = await run(program, args);
  if (result.code !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

const inNs = (ns: string, ...command: string[]): Promise<string> =>
  sh('ip', 'netns', 'exec', ns, ...command);

describe.skipIf(unshared !== undefined)(`capture in network namespaces ${unshared ?? ''}`, () => {
  let mesh: TestMesh;
  let server: Daemon;
  let dir: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'onehop-ns-'));
    await sh('ip', 'netns', 'add', clientNs);
    await sh('ip', 'netns', 'add', serverNs);
    await sh(
      'ip',
      '-n',
      clientNs,
      'link',
      'add',
      'eth0',
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      serverNs,
    );
    for (const [ns, ip] of [
      [clientNs, clientIp],
      [serverNs, serverIp],
    ] as const) {
      await sh('ip', '-n', ns, 'addr', 'add', `${ip}/24`, 'dev', 'eth0');
      await sh('ip', '-n', ns, 'link', 'set', 'eth0', 'up');
      await sh('ip', '-n', ns, 'link', 'set', 'lo', 'up');
      await sh('ip', '-n', ns, 'route', 'add', 'default', 'dev', 'eth0');
      await sh('ip', '-n', ns, 'rule', 'add', 'fwmark', '273', 'lookup', '100');
      await sh('ip', '-n', ns, 'route', 'add', 'local', '0.0.0.0/0', 'dev', 'lo', 'table', '100');
      const file = join(dir, `${ns}.nft`);
      await writeFile(file, rules);
      await inNs(ns, 'nft', '-f', file);
    }
    server = new Daemon('ip', [
      'netns',
      'exec',
      serverNs,
      'python3',
      '-u',
      app,
      'serve',
      `${serverIp}:8080`,
    ]);
    await server.waitForOutput('listening');
    mesh = await TestMesh.create('127.21.40', (file: MeshFile) => {
      const places = [
        [clientIp, clientNs],
        [serverIp, serverNs],
      ] as const;
      places.forEach(([ip, ns], i) => {
        const workload = file.workloads[i];
        if (workload === undefined) throw new Error('missing workload');
        workload['workloadIps'] = [ip];
        workload['netns'] = `/run/netns/${ns}`;
      });
      const [service] = file.services;
      if (service !== undefined) service['vips'] = ['/198.51.100.10'];
    });
    await mesh.start({ a: { args: ['--mark', '1337'] }, b: { args: ['--mark', '1337'] } });
  }, 60_000);

  afterAll(async () => {
    await mesh?.stop();
    await server?.stop('SIGKILL');
    for (const ns of [clientNs, serverNs]) await run('ip', ['netns', 'del', ns]);
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  });

  const ask = async (
    ns: string,
    destination: string,
    text = 'hello',
  ): Promise<Record<string, unknown>> =>
    JSON.parse(await inNs(ns, 'python3', app, 'ask', destination, text)) as Record<string, unknown>;

  it('carries a plain connection to a workload through the tunnel, source address kept', async () => {
    const reply = await ask(clientNs, `${serverIp}:8080`);
    expect(reply).toMatchObject({ reply: 'hello', sourceSeen: clientIp, complete: true });
    await until(async () => {
      const labels = { connection_security_policy: 'mutual_tls', reporter: 'destination' };
      return metric(await mesh.b.metrics(), 'istio_tcp_connections_closed_total', labels) > 0;
    });
  });

  it('carries a connection to a service address', async () => {
    expect(await ask(clientNs, '198.51.100.10:80')).toMatchObject({
      reply: 'hello',
      sourceSeen: clientIp,
    });
  });

  it('moves 64 MiB each way unchanged', async () => {
    const text = await inNs(clientNs, 'python3', app, 'bulk', `${serverIp}:8080`, String(64 << 20));
    expect(JSON.parse(text)).toMatchObject({ same: true, bytes: 64 << 20 });
  }, 60_000);

  it('captures plaintext from outside the mesh and applies policy to it', async () => {
    // The client's proxy is away: what its workload sends now leaves in plain text.
    await inNs(clientNs, 'nft', 'flush', 'chain', 'ip', 'onehop', 'output');
    try {
      expect(await ask(clientNs, `${serverIp}:8080`, 'plain')).toMatchObject({
        reply: 'plain',
        sourceSeen: clientIp,
      });
      await until(async () => {
        const labels = { connection_security_policy: 'unknown', reporter: 'destination' };
        return metric(await mesh.b.metrics(), 'istio_tcp_connections_closed_total', labels) > 0;
      });
      mesh.file.policies = [
        {
          name: 'strict',
          namespace: 'demo',
          scope: 'Namespace',
          action: 'Deny',
          rules: [[[{ notPrincipals: [{ Presence: [] }] }]]],
        },
      ];
      await mesh.write(stringify(mesh.file));
      await until(async () => {
        const reply = await ask(clientNs, `${serverIp}:8080`).catch(() => ({ reply: '' }));
        return reply['reply'] === '';
      });
    } finally {
      await inNs(clientNs, 'nft', 'delete', 'table', 'ip', 'onehop');
      await inNs(clientNs, 'nft', '-f', join(dir, `${clientNs}.nft`));
    }
    // With an identity the same call is still allowed.
    expect(await ask(clientNs, `${serverIp}:8080`)).toMatchObject({ reply: 'hello' });
  }, 60_000);
});
