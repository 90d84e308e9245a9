import { spawn, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';

import type { Layout, LayoutName, Side } from './system.js';

export const layoutNames: readonly LayoutName[] = ['loopback', 'netns'];

/** Below the range from which the kernel takes the ports of clients. */
const portFirst = 20_000;
const portLast = 29_999;
const listenState = '0A';

/** A layout that exists until it is removed. */
export interface LiveLayout extends Layout {
  remove(): void;
}

async function listeningPorts(proc: string): Promise<Set<number>> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) =>
    readFile(`${proc}/net/${name}`, 'utf8').catch(() => '')));
  const ports = new Set<number>();
  for (const line of tables.join('\n').split('\n')) {
    const [, local = '', , state] = line.trim().split(/\s+/);
    if (state === listenState) ports.add(Number.parseInt(local.split(':')[1] ?? '', 16));
  }
  return ports;
}

abstract class BaseLayout implements LiveLayout {
  abstract readonly name: LayoutName;
  abstract readonly nearHost: string;
  abstract readonly farHost: string;
  readonly #given = new Set<number>();

  get serverHost(): string {
    return this.farHost;
  }

  abstract inside(side: Side): readonly string[];
  /** The /proc directory of a process on that side. */
  protected abstract proc(side: Side): string;
  abstract remove(): void;

  async freePort(side: Side): Promise<number> {
    const taken = await listeningPorts(this.proc(side));
    for (let tries = 0; tries < 1_000; tries += 1) {
      const port = portFirst + Math.floor(Math.random() * (portLast - portFirst + 1));
      if (taken.has(port) || this.#given.has(port)) continue;
      this.#given.add(port);
      return port;
    }
    throw new Error(`no free port from ${portFirst} to ${portLast}`);
  }

  async isListening(side: Side, port: number): Promise<boolean> {
    return (await listeningPorts(this.proc(side))).has(port);
  }
}

/** Which processors each side may use; '' leaves it to the kernel. */
export interface Pinning {
  readonly near: string;
  readonly far: string;
}

function pinned({ near, far }: Pinning, side: Side): readonly string[] {
  const cpus = side === 'near' ? near : far;
  return cpus === '' ? [] : ['taskset', '-c', cpus];
}

class LoopbackLayout extends BaseLayout {
  readonly name = 'loopback';
  readonly nearHost: string;
  readonly farHost: string;

  constructor(private readonly pinning: Pinning) {
    super();
    const byte = (): number => 2 + Math.floor(Math.random() * 190);
    const prefix = `127.${byte()}.${byte()}`;
    this.nearHost = `${prefix}.2`;
    this.farHost = `${prefix}.3`;
  }

  inside(side: Side): readonly string[] {
    return pinned(this.pinning, side);
  }

  protected proc(): string {
    return '/proc/self';
  }

  remove(): void {}
}

function run(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (error !== undefined) throw new Error(`${command}: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr.trim()}`);
}

class NetnsLayout extends BaseLayout {
  readonly name = 'netns';
  readonly nearHost: string;
  readonly farHost: string;
  readonly #tag = `ohb${process.pid}`;
  readonly #anchors: Partial<Record<Side, ReturnType<typeof spawn>>> = {};

  constructor(private readonly pinning: Pinning) {
    super();
    const subnet = `10.213.${process.pid % 256}`;
    this.nearHost = `${subnet}.2`;
    this.farHost = `${subnet}.3`;
    try {
      this.#make();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  inside(side: Side): readonly string[] {
    return ['ip', 'netns', 'exec', this.#namespace(side), ...pinned(this.pinning, side)];
  }

  protected proc(side: Side): string {
    return `/proc/${this.#anchors[side]?.pid ?? 0}`;
  }

  remove(): void {
    for (const side of ['near', 'far'] as const) {
      this.#anchors[side]?.kill('SIGKILL');
      // Takes its end of the veth pair along, and so the other.
      spawnSync('ip', ['netns', 'del', this.#namespace(side)], { stdio: 'ignore' });
    }
  }

  #namespace(side: Side): string {
    return `${this.#tag}-${side}`;
  }

  #make(): void {
    const near = this.#namespace('near');
    const far = this.#namespace('far');
    run('ip', 'netns', 'add', near);
    run('ip', 'netns', 'add', far);
    run('ip', '-n', near, 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth0', 'netns', far);
    for (const [name, host] of [[near, this.nearHost], [far, this.farHost]] as const) {
      run('ip', '-n', name, 'addr', 'add', `${host}/24`, 'dev', 'veth0');
      run('ip', '-n', name, 'link', 'set', 'veth0', 'up');
      run('ip', '-n', name, 'link', 'set', 'lo', 'up');
    }
    for (const side of ['near', 'far'] as const) {
      // Shows the namespace's sockets in its /proc directory; ends with us, for its input does.
      this.#anchors[side] = spawn('ip', ['netns', 'exec', this.#namespace(side), 'cat'], {
        stdio: ['pipe', 'ignore', 'ignore'], detached: true,
      });
    }
  }
}

/** Why this machine cannot have it; '' when it can. */
export function layoutObstacle(name: LayoutName): string {
  if (name === 'loopback') return '';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  return spawnSync('ip', ['-V'], { stdio: 'ignore' }).status === 0 ? '' : 'there is no ip command';
}

export function makeLayout(name: LayoutName, pinning: Pinning): LiveLayout {
  return name === 'loopback' ? new LoopbackLayout(pinning) : new NetnsLayout(pinning);
}
