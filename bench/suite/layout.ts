import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

import type { Layout, LayoutName, Side } from './system.js';

export const layoutNames: readonly LayoutName[] = ['loopback', 'netns'];

/** Below the range from which the kernel takes the ports of clients. */
const portFirst = 20_000;
const portLast = 29_999;
const listenState = '0A';
/** The head of that column. */
const stateColumn = 'st';
const namespacePrefix = 'ohb';
/**
 * A client has one address in a namespace, for addresses stand for identities there. Its ports begin
 * behind those of the listeners, and one is free again a second after its connection was closed and
 * not in a minute: rows of some 10,000 connections follow one another.
 */
const clientPorts = [`net.ipv4.ip_local_port_range=${portLast + 1} 65535`, 'net.ipv4.tcp_tw_reuse=1'];
/** Of the far host on loopback, as /proc/net/tcp writes it; all others are the near side's. */
const farByte = '03';

/** A layout that exists until it is removed. */
export interface LiveLayout extends Layout {
  remove(): void;
}

interface Listener {
  /** As in /proc/net/tcp: hexadecimal, the last byte of an IPv4 address first. */
  readonly address: string;
  readonly port: number;
}

/**
 * The kernel lists those that listen before all others, and the others may be tens of thousands: the
 * table is read no further than to the first of these. To find it, the kernel looks through its whole
 * hash table all the same: a millisecond for 262,144 buckets, so this is not for a tight loop.
 */
async function readListeners(table: FileHandle): Promise<Listener[]> {
  const found: Listener[] = [];
  const block = Buffer.alloc(16_384);
  let rest = '';
  for (;;) {
    const { bytesRead } = await table.read(block);
    if (bytesRead === 0) return found;
    const whole = (rest + block.toString('latin1', 0, bytesRead)).split('\n');
    rest = whole.pop() ?? '';
    for (const line of whole) {
      const [, local = '', , state] = line.trim().split(/\s+/, 4);
      if (state === stateColumn) continue;
      if (state !== listenState) return found;
      const [address = '', port = ''] = local.split(':');
      found.push({ address, port: Number.parseInt(port, 16) });
    }
  }
}

/** None where the table cannot be read: its process may be gone. */
async function listenersIn(path: string): Promise<Listener[]> {
  try {
    await using table = await open(path);
    return await readListeners(table);
  } catch {
    return [];
  }
}

abstract class BaseLayout implements LiveLayout {
  abstract readonly name: LayoutName;
  abstract readonly nearHost: string;
  abstract readonly farHost: string;
  readonly #given = new Set<number>();

  /** Those of /proc/net in which a listener of this layout can be. */
  protected abstract readonly tables: readonly string[];

  get serverHost(): string {
    return this.farHost;
  }

  abstract inside(side: Side): readonly string[];
  /** The /proc directory of a process on that side. */
  protected abstract proc(side: Side): string;
  abstract remove(): void;

  async freePort(side: Side): Promise<number> {
    const taken = new Set((await this.#listeners(side)).map(({ port }) => port));
    for (let tries = 0; tries < 1_000; tries += 1) {
      const port = portFirst + Math.floor(Math.random() * (portLast - portFirst + 1));
      if (taken.has(port) || this.#given.has(port)) continue;
      this.#given.add(port);
      return port;
    }
    throw new Error(`no free port from ${portFirst} to ${portLast}`);
  }

  async isListening(side: Side, port: number, least = 1): Promise<boolean> {
    const found = await this.#listeners(side);
    return found.filter((one) => one.port === port && this.owns(side, one.address)).length >= least;
  }

  async #listeners(side: Side): Promise<Listener[]> {
    const found = await Promise.all(
      this.tables.map((name) => listenersIn(`${this.proc(side)}/net/${name}`)));
    return found.flat();
  }

  /** Whether a listener at this address can be of that side; see Listener. */
  protected owns(_side: Side, _address: string): boolean {
    return true;
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

function run(command: string, args: readonly string[], input = ''): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8', input });
  if (error !== undefined) throw new Error(`${command}: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr.trim()}`);
}

class LoopbackLayout extends BaseLayout {
  readonly name = 'loopback';
  protected readonly tables = ['tcp'];
  readonly #ending: string;
  readonly nearHost: string;
  readonly farHost: string;

  constructor(private readonly pinning: Pinning) {
    super();
    const byte = (): number => 2 + Math.floor(Math.random() * 190);
    const bytes = [127, byte(), byte()];
    const prefix = bytes.join('.');
    this.#ending = bytes.reverse().map((one) => one.toString(16).padStart(2, '0')).join('');
    this.nearHost = `${prefix}.2`;
    this.farHost = `${prefix}.3`;
  }

  inside(side: Side): readonly string[] {
    return pinned(this.pinning, side);
  }

  protected proc(): string {
    return '/proc/self';
  }

  protected override owns(side: Side, address: string): boolean {
    if (/^0+$/.test(address)) return true;
    return address.toLowerCase().endsWith(this.#ending)
      && (address.startsWith(farByte) === (side === 'far'));
  }

  remove(): void {
    // Nothing was made.
  }
}

/** A network namespace until it is removed; its listeners can be looked up. */
class Namespace {
  static #made = 0;
  readonly name: string;
  #anchor: ChildProcess | undefined;

  constructor(side: Side, congestion: string) {
    Namespace.#made += 1;
    this.name = `${namespacePrefix}${process.pid}-${Namespace.#made}-${side}`;
    run('ip', ['netns', 'add', this.name]);
    try {
      this.exec(['ip', 'link', 'set', 'lo', 'up']);
      this.exec(['sysctl', '-q', '-w', ...clientPorts]);
      if (congestion !== '') {
        this.exec(['sysctl', '-q', '-w', `net.ipv4.tcp_congestion_control=${congestion}`]);
      }
    } catch (error) {
      this.remove();
      throw error;
    }
    // Its /proc directory shows the namespace; it ends with us, for its input does.
    this.#anchor = spawn('ip', ['netns', 'exec', this.name, 'cat'], {
      stdio: ['pipe', 'ignore', 'ignore'], detached: true,
    });
  }

  get argv(): readonly string[] {
    return ['ip', 'netns', 'exec', this.name];
  }

  get proc(): string {
    return `/proc/${this.#anchor?.pid ?? 0}`;
  }

  exec(argv: readonly string[], input = ''): void {
    run('ip', ['netns', 'exec', this.name, ...argv], input);
  }

  remove(): void {
    this.#anchor?.kill('SIGKILL');
    spawnSync('ip', ['netns', 'del', this.name], { stdio: 'ignore' });
  }
}

/** Loopback of a network namespace of its own, where every socket takes this congestion control. */
class OwnLoopbackLayout extends LoopbackLayout {
  readonly #namespace: Namespace;

  constructor(pinning: Pinning, congestion: string) {
    super(pinning);
    this.#namespace = new Namespace('near', congestion);
  }

  override inside(side: Side): readonly string[] {
    return [...this.#namespace.argv, ...super.inside(side)];
  }

  protected override proc(): string {
    return this.#namespace.proc;
  }

  override remove(): void {
    this.#namespace.remove();
  }
}

class NetnsLayout extends BaseLayout {
  readonly name = 'netns';
  /** Here a proxy may listen at every address of both families. */
  protected readonly tables = ['tcp', 'tcp6'];
  readonly nearHost = '10.213.7.2';
  readonly farHost = '10.213.7.3';
  readonly #spaces: Partial<Record<Side, Namespace>> = {};

  constructor(private readonly pinning: Pinning, congestion: string) {
    super();
    try {
      for (const side of ['near', 'far'] as const) {
        this.#spaces[side] = new Namespace(side, congestion);
      }
      this.#join();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  inside(side: Side): readonly string[] {
    return [...this.#space(side).argv, ...pinned(this.pinning, side)];
  }

  netns(side: Side): string {
    return `/run/netns/${this.#space(side).name}`;
  }

  capture(side: Side, port: number, to: number): void {
    // By port and not by user: the reset of a socket that nobody owns any more has no user.
    this.#space(side).exec(['nft', '-f', '-'], `
table ip bench {
  chain untrack_out {
    type filter hook output priority raw;
    tcp dport ${port} accept
    tcp sport ${to} accept
    notrack
  }
  chain untrack_in {
    type filter hook prerouting priority raw;
    notrack
  }
  chain redirect_out {
    type nat hook output priority -100;
    tcp dport ${port} redirect to :${to}
  }
}`);
  }

  protected proc(side: Side): string {
    return this.#space(side).proc;
  }

  remove(): void {
    // Takes its end of the veth pair along, and so the other.
    for (const space of Object.values(this.#spaces)) space.remove();
  }

  #space(side: Side): Namespace {
    const space = this.#spaces[side];
    if (space === undefined) throw new Error('the layout was not made');
    return space;
  }

  #join(): void {
    const { name: near } = this.#space('near');
    const { name: far } = this.#space('far');
    const pair = ['type', 'veth', 'peer', 'name', 'veth0', 'netns', far];
    run('ip', ['-n', near, 'link', 'add', 'veth0', ...pair]);
    for (const [name, host] of [[near, this.nearHost], [far, this.farHost]] as const) {
      run('ip', ['-n', name, 'addr', 'add', `${host}/24`, 'dev', 'veth0']);
      run('ip', ['-n', name, 'link', 'set', 'veth0', 'up']);
    }
  }
}

/** Namespaces of a bench that was killed before it could remove them. */
function removeStale(): void {
  const { stdout } = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' });
  for (const line of (stdout ?? '').split('\n')) {
    const [name = ''] = line.split(' ');
    const pid = new RegExp(`^${namespacePrefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
  }
}

function namespaceObstacle(): string {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  if (spawnSync('ip', ['-V'], { stdio: 'ignore' }).status !== 0) return 'there is no ip command';
  const name = `${namespacePrefix}${process.pid}-0-near`;
  const { status, stderr } = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
  spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
  return status === 0 ? '' : `no network namespace can be made: ${stderr.trim()}`;
}

/** Why this machine cannot have it; '' when it can. */
export function layoutObstacle(name: LayoutName, congestion: string): string {
  return name === 'loopback' && congestion === '' ? '' : namespaceObstacle();
}

/** `congestion`: TCP congestion control of every socket in it; '' is the machine's default. */
export function makeLayout(name: LayoutName, pinning: Pinning, congestion: string): LiveLayout {
  if (name === 'loopback' && congestion === '') return new LoopbackLayout(pinning);
  removeStale();
  return name === 'loopback' ? new OwnLoopbackLayout(pinning, congestion)
    : new NetnsLayout(pinning, congestion);
}
