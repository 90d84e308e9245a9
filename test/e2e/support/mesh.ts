import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { stringify } from 'yaml';

import { Daemon, onehop, onehopMain, until } from './processes.js';
import { connectSocks } from './sockets.js';

export interface MeshFile {
  workloads: Record<string, unknown>[];
  services: Record<string, unknown>[];
  policies: Record<string, unknown>[];
}

export interface Reply {
  status: number;
  body: string;
}

export function get(host: string, port: number, path: string): Promise<Reply> {
  return new Promise((done, fail) => {
    const request = http.get({ host, port, path, agent: false, timeout: 10_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.once('end', () => done({ status: response.statusCode ?? 0, body }));
    });
    request.once('error', fail);
    request.once('timeout', () => request.destroy(new Error(`${path}: no answer`)));
  });
}

/** Sums the samples of a Prometheus family whose labels all match. */
export function metric(text: string, name: string, labels: Record<string, string> = {}): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(name) || !/^[{ ]/.test(line.slice(name.length))) continue;
    if (Object.entries(labels).every(([k, v]) => line.includes(`${k}="${v}"`))) {
      sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
  }
  return sum;
}

export interface CertificateFiles {
  cert: string;
  key: string;
  root: string;
}

async function succeed(...args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await onehop(args);
  if (code !== 0) throw new Error(`onehop ${args.join(' ')}: ${stdout}${stderr}`);
}

async function issueFrom(caDir: string, id: string, prefix: string): Promise<CertificateFiles> {
  await succeed('ca', 'issue', '--dir', caDir, '--id', id, '--out', prefix);
  return { cert: `${prefix}.pem`, key: `${prefix}-key.pem`, root: join(caDir, 'root.pem') };
}

/** One `onehop node` process. */
export class TestNode {
  daemon: Daemon;
  constructor(
    readonly name: string,
    readonly host: string,
    private readonly launch: readonly string[],
    private readonly env: NodeJS.ProcessEnv,
  ) {
    this.daemon = this.#spawn();
  }

  #spawn(): Daemon {
    const [program = process.execPath, ...args] = this.launch;
    return new Daemon(program, args, this.env);
  }

  restart(): void {
    this.daemon = this.#spawn();
  }

  async ready(timeoutMs = 15_000): Promise<void> {
    await until(
      async () => {
        if (!this.daemon.running)
          throw new Error(`node ${this.name} ended:\n${this.daemon.output}`);
        const reply = await get(this.host, 15021, '/healthz/ready').catch(() => null);
        return reply?.status === 200;
      },
      {
        timeoutMs,
        everyMs: 25,
        what: () => `node ${this.name} to be ready:\n${this.daemon.output}`,
      },
    );
  }

  metrics = async (): Promise<string> => (await get(this.host, 15020, '/metrics')).body;
}

/**
 * Two node proxies in two processes: `a` serves the workload `client` at PREFIX.2, `b` serves `server`
 * at PREFIX.3. The service `echo.demo.svc.cluster.local` has its address at PREFIX.100.
 */
export class TestMesh {
  readonly file: MeshFile;
  nodes: { a: TestNode; b: TestNode } | undefined;

  private constructor(
    readonly prefix: string,
    readonly dir: string,
  ) {
    const workload = (
      name: string,
      ip: string,
      node: string,
      services: Record<string, unknown>,
    ): Record<string, unknown> => ({
      uid: `cluster1//v1/Pod/demo/${name}`,
      name,
      namespace: 'demo',
      serviceAccount: name,
      trustDomain: 'cluster.local',
      workloadIps: [ip],
      protocol: 'HBONE',
      node,
      services,
    });
    this.file = {
      workloads: [
        workload('client', `${prefix}.2`, 'node-a', {}),
        workload('server', `${prefix}.3`, 'node-b', {
          'demo/echo.demo.svc.cluster.local': { 80: 8080 },
        }),
      ],
      services: [
        {
          name: 'echo',
          namespace: 'demo',
          hostname: 'echo.demo.svc.cluster.local',
          vips: [`/${prefix}.100`],
          ports: { 80: 8080 },
        },
      ],
      policies: [],
    };
  }

  get client(): string {
    return `${this.prefix}.2`;
  }
  get server(): string {
    return `${this.prefix}.3`;
  }
  get vip(): string {
    return `${this.prefix}.100`;
  }
  get meshPath(): string {
    return join(this.dir, 'mesh.yaml');
  }
  get caDir(): string {
    return join(this.dir, 'ca');
  }
  get a(): TestNode {
    if (this.nodes === undefined) throw new Error('nodes are not started');
    return this.nodes.a;
  }
  get b(): TestNode {
    if (this.nodes === undefined) throw new Error('nodes are not started');
    return this.nodes.b;
  }

  /** Makes the directory, the CA and the mesh file; `prefix` is three octets of 127/8, one per file. */
  static async create(
    prefix: string,
    edit: (file: MeshFile) => void = () => undefined,
  ): Promise<TestMesh> {
    const mesh = new TestMesh(prefix, await mkdtemp(join(tmpdir(), 'onehop-e2e-')));
    edit(mesh.file);
    await mesh.write();
    await succeed('ca', 'init', '--dir', mesh.caDir);
    return mesh;
  }

  issue(id: string, name: string): Promise<CertificateFiles> {
    return issueFrom(this.caDir, id, join(this.dir, name));
  }

  /** A certificate for the client workload's account in `trustDomain`, from another authority. */
  async issueByAnotherCa(
    name: string,
    trustDomain: string,
    root: 'same root' | 'new root',
  ): Promise<CertificateFiles> {
    const dir = join(this.dir, `ca-${name}`);
    const key = join(this.caDir, 'ca-key.pem');
    const adopt = ['--root-cert', join(this.caDir, 'ca.pem'), '--root-key', key];
    await succeed('ca', 'init', '--dir', dir, '--trust-domain', trustDomain,
      ...(root === 'same root' ? adopt : []));
    const id = `spiffe://${trustDomain}/ns/demo/sa/client`;
    return issueFrom(dir, id, join(this.dir, name));
  }

  nodeArgs(name: string, host: string, more: readonly string[] = []): string[] {
    return [
      process.execPath,
      onehopMain,
      'node',
      '--node',
      name,
      '--mesh',
      this.meshPath,
      '--ca-dir',
      this.caDir,
      '--admin',
      `${host}:15000`,
      '--stats',
      `${host}:15020`,
      '--ready',
      `${host}:15021`,
      '--log',
      'json',
      ...more,
    ];
  }

  startNode(
    name: string,
    hostByte: number,
    options: { args?: readonly string[]; wrap?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
  ): TestNode {
    const host = `${this.prefix}.${hostByte}`;
    const launch = [...(options.wrap ?? []), ...this.nodeArgs(name, host, options.args)];
    return new TestNode(name, host, launch, options.env ?? {});
  }

  async start(
    options: {
      a?: Parameters<TestMesh['startNode']>[2];
      b?: Parameters<TestMesh['startNode']>[2];
    } = {},
  ): Promise<this> {
    this.nodes = {
      a: this.startNode('node-a', 201, options.a),
      b: this.startNode('node-b', 202, options.b),
    };
    await Promise.all([this.nodes.a.ready(), this.nodes.b.ready()]);
    return this;
  }

  /** Replaces the mesh file in one step, as an editor or a ConfigMap does. */
  async write(text: string = stringify(this.file)): Promise<void> {
    await writeFile(`${this.meshPath}.new`, text);
    await rename(`${this.meshPath}.new`, this.meshPath);
  }

  /** A connection of the client workload, through its SOCKS5 port. */
  connect(host = this.server, port = 8080): Promise<net.Socket> {
    return connectSocks({ host: this.client, port: 15080 }, host, port);
  }

  async stop(): Promise<void> {
    if (this.nodes !== undefined) {
      await Promise.all([this.nodes.a.daemon.stop(), this.nodes.b.daemon.stop()]);
    }
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** An ALLOW or DENY policy for the server workload's namespace. */
export const policy = (
  name: string,
  action: 'Allow' | 'Deny',
  match: Record<string, unknown>,
): Record<string, unknown> => ({
  name,
  namespace: 'demo',
  scope: 'Namespace',
  action,
  rules: [[[match]]],
});
