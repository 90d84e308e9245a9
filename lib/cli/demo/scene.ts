import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Authority } from '../../index.js';

const main = fileURLToPath(new URL('../main.js', import.meta.url));
const app = fileURLToPath(new URL('./app.js', import.meta.url));
const stopMsMax = 8_000;
const logCharsMax = 4 << 20;

export const clientId = 'spiffe://cluster.local/ns/demo/sa/client';
export const serverId = 'spiffe://cluster.local/ns/demo/sa/server';

/** One `onehop node` process and what it logged. */
export class NodeProcess {
  #log = '';
  readonly #child: ChildProcess;

  constructor(readonly host: string, args: readonly string[]) {
    this.#child = spawn(process.execPath, [main, 'node', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const keep = (text: string): void => {
      this.#log = (this.#log + text).slice(-logCharsMax);
    };
    this.#child.stdout?.setEncoding('utf8').on('data', keep);
    this.#child.stderr?.setEncoding('utf8').on('data', keep);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get log(): string {
    return this.#log;
  }

  /** Log lines as objects, oldest first. */
  get lines(): Record<string, unknown>[] {
    return this.#log.split('\n').flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>];
      } catch {
        return [];
      }
    });
  }

  get(port: number, path: string): Promise<{ status: number; body: string }> {
    return new Promise((done, fail) => {
      const asked = request({ host: this.host, port, path, agent: false, timeout: 5_000 }, (reply) => {
        let body = '';
        reply.setEncoding('utf8').on('data', (text: string) => (body += text));
        reply.once('end', () => done({ status: reply.statusCode ?? 0, body }));
      });
      asked.once('timeout', () => asked.destroy(new Error(`${path}: no answer`)));
      asked.once('error', fail);
      asked.end();
    });
  }

  async ready(timeoutMs = 15_000): Promise<void> {
    await waitFor(`the node proxy at ${this.host}`, timeoutMs, async () => {
      if (this.#child.exitCode !== null) throw new Error(`a node proxy ended:\n${this.#log}`);
      const reply = await this.get(15_021, '/healthz/ready').catch(() => undefined);
      return reply?.status === 200;
    });
  }

  /** Drains; resolves to the exit code. */
  stop(): Promise<number | null> {
    return stopChild(this.#child, 'SIGTERM');
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
  const ended = once(child, 'exit') as Promise<[number | null]>;
  child.kill(signal);
  const [code] = await ended;
  clearTimeout(timer);
  return code;
}

/** Polls until it holds. */
export async function waitFor(what: string, timeoutMs: number,
  holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!await holds()) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

/** The whole stage: an authority, a mesh file, two node proxies, the application of workload B. */
export class Scene {
  a: NodeProcess | undefined;
  b: NodeProcess | undefined;
  #app: ChildProcess | undefined;

  private constructor(readonly dir: string, readonly prefix: string) {}

  static async create(): Promise<Scene> {
    const byte = (): number => 64 + Math.floor(Math.random() * 180);
    return new Scene(await mkdtemp(join(tmpdir(), 'onehop-demo-')), `127.${byte()}.${byte()}`);
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
  get meshFile(): string {
    return join(this.dir, 'mesh.yaml');
  }
  get caDir(): string {
    return join(this.dir, 'ca');
  }

  makeAuthority(): Promise<void> {
    return Authority.init({ dir: this.caDir });
  }

  /** Replaces the mesh file in one step. JSON is YAML. */
  async writeMesh(policies: readonly object[] = []): Promise<void> {
    const workload = (name: string, ip: string, node: string, services: object): object => ({
      uid: `demo//Pod/demo/${name}`, name, namespace: 'demo', serviceAccount: name,
      trustDomain: 'cluster.local', workloadIps: [ip], protocol: 'HBONE', node, services,
    });
    const hostname = 'web.demo.svc.cluster.local';
    const mesh = {
      workloads: [
        workload('client', this.client, 'node-a', {}),
        workload('server', this.server, 'node-b', { [`demo/${hostname}`]: { 80: 8080 } }),
      ],
      services: [
        { name: 'web', namespace: 'demo', hostname, vips: [`/${this.vip}`], ports: { 80: 8080 } },
      ],
      policies,
    };
    await writeFile(`${this.meshFile}.new`, `${JSON.stringify(mesh, null, 2)}\n`);
    await rename(`${this.meshFile}.new`, this.meshFile);
  }

  async startApp(): Promise<void> {
    this.#app = fork(app, [this.server, '8080'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await once(this.#app, 'message');
  }

  startNode(name: 'node-a' | 'node-b', more: readonly string[] = []): NodeProcess {
    const host = `${this.prefix}.${name === 'node-a' ? 201 : 202}`;
    const args = [
      '--node', name, '--mesh', this.meshFile, '--ca-dir', this.caDir, '--admin', `${host}:15000`,
      '--stats', `${host}:15020`, '--ready', `${host}:15021`, '--log', 'json', '--shards', '1',
    ];
    const started = new NodeProcess(host, [...args, ...more]);
    if (name === 'node-a') this.a = started;
    else this.b = started;
    return started;
  }

  /** Ends at once whatever still runs; for signals. */
  kill(): void {
    this.a?.kill();
    this.b?.kill();
    this.#app?.kill('SIGKILL');
  }

  async close(): Promise<void> {
    await Promise.all([this.a?.stop(), this.b?.stop()]);
    if (this.#app !== undefined) await stopChild(this.#app, 'SIGKILL');
    await rm(this.dir, { recursive: true, force: true });
  }
}
