import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Layout, Peer, Side, SystemContext } from './system.js';

const readyMsMax = 30_000;
/** Each look costs milliseconds (`Layout.isListening`), which a proxy that starts would have to share. */
const pollMs = 20;
const tailChars = 2_000;

const canTether = spawnSync('setpriv', ['--help'], { stdio: 'ignore' }).status === 0;

/**
 * Linux: a child so started gets the signal from the kernel when we end, however we end. KILL, but
 * for one that has to end children of its own. Of two such prefixes the later one holds.
 */
export const tetherBy = (signal: 'KILL' | 'TERM'): readonly string[] =>
  canTether ? ['setpriv', '--pdeathsig', signal, '--'] : [];

export const tether = tetherBy('KILL');

/** Why a process that should be running is not. */
export class ProcessError extends Error {}

function describeExit(child: ChildProcess): string {
  return child.signalCode === null ? `exit code ${child.exitCode}` : child.signalCode;
}

function tailOf(log: string): string {
  return readFileSync(log, 'utf8').slice(-tailChars).trimEnd();
}

/** A process with its descendants in a group of its own, its output in a file. */
export class Program implements Peer {
  readonly #child: ChildProcess;
  readonly #began = performance.now();
  readyMs: number | undefined;

  private constructor(readonly name: string, readonly side: Side, readonly log: string,
    child: ChildProcess) {
    this.#child = child;
  }

  static start(said: {
    name: string; side: Side; argv: readonly string[]; scratch: string;
  }): Program {
    const log = join(said.scratch, `${said.name}.log`);
    const [command = '', ...args] = [...tether, ...said.argv];
    const out = openSync(log, 'a');
    try {
      const child = spawn(command, args, {
        stdio: ['ignore', out, out], detached: true, cwd: said.scratch,
      });
      child.on('error', () => undefined);
      return new Program(said.name, said.side, log, child);
    } finally {
      closeSync(out);
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.pid !== 0 && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** How it ended, with the last it said; '' while it runs. */
  get obituary(): string {
    if (this.running) return '';
    const said = tailOf(this.log);
    const how = this.pid === 0 ? 'could not be started' : `ended with ${describeExit(this.#child)}`;
    return `${this.name} ${how}${said === '' ? '' : `: ${said}`}`;
  }

  /** Polls `ready`. Rejects with ProcessError when the process ends first, or time is up. */
  async waitReady(ready: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    const deadline = Date.now() + readyMsMax;
    while (this.running) {
      signal.throwIfAborted();
      if (await ready().catch(() => false)) {
        this.readyMs = performance.now() - this.#began;
        return;
      }
      if (Date.now() > deadline) {
        throw new ProcessError(`${this.name} was not ready in ${readyMsMax} ms: ${tailOf(this.log)}`);
      }
      await sleep(pollMs);
    }
    throw new ProcessError(this.obituary);
  }

  /** Kills the group; what a proxy would do before is not measured. Idempotent. */
  async end(): Promise<void> {
    const exited = this.running ? once(this.#child, 'exit') : undefined;
    this.kill();
    await exited;
  }

  /** At once, the whole group, also what a dead leader left. */
  kill(): void {
    if (this.pid === 0) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // The group is gone.
    }
  }
}

/** All that one run has started. `killAll` is for signals: it does not wait, and is the last. */
export class Stage {
  readonly #programs = new Set<Program>();
  #closed = false;

  start(layout: Layout, scratch: string, name: string, side: Side,
    argv: readonly string[]): Program {
    if (this.#closed) throw new ProcessError(`${name} is not started, for the run has ended`);
    const program = Program.start({
      name, side, scratch, argv: [...layout.inside(side), ...argv],
    });
    this.#programs.add(program);
    return program;
  }

  async end(programs: readonly Program[]): Promise<void> {
    await Promise.all(programs.map((program) => program.end()));
    for (const program of programs) this.#programs.delete(program);
  }

  killAll(): void {
    this.#closed = true;
    for (const program of this.#programs) program.kill();
  }

  async endAll(): Promise<void> {
    await this.end([...this.#programs]);
  }
}

export type ContextParts = Omit<SystemContext, 'launch'>;

/** A system's context whose programs the caller can watch and end. */
export class LiveContext implements SystemContext {
  readonly programs: Program[] = [];
  readonly layout: Layout;
  readonly server: SystemContext['server'];
  readonly scratch: string;
  readonly shared: string;
  readonly identities: number;
  readonly tunnelsKept: boolean;
  readonly shards: number;
  readonly policies: number;
  readonly signal: AbortSignal;
  readonly #stage: Stage;

  constructor(stage: Stage, parts: ContextParts) {
    this.#stage = stage;
    this.layout = parts.layout;
    this.server = parts.server;
    this.scratch = parts.scratch;
    this.shared = parts.shared;
    this.identities = parts.identities;
    this.tunnelsKept = parts.tunnelsKept;
    this.shards = parts.shards;
    this.policies = parts.policies;
    this.signal = parts.signal;
  }

  async launch(side: Side, name: string, argv: readonly string[],
    ready: () => Promise<boolean>): Promise<Peer> {
    const program = this.#stage.start(this.layout, this.scratch, name, side, argv);
    this.programs.push(program);
    await program.waitReady(ready, this.signal);
    return program;
  }

  /** What became of the programs that should run; '' when all do. */
  get casualties(): string {
    return this.programs.map(({ obituary }) => obituary).filter((text) => text !== '').join('; ');
  }

  async end(): Promise<void> {
    await this.#stage.end(this.programs);
  }
}
