import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';

/** The built command, run as a user would run it. */
export const onehopMain = resolve(import.meta.dirname, '../../../dist/cli/main.js');

export interface RunResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end; rejects only when it cannot start or outlives `timeoutMs`. */
export async function run(
  program: string,
  args: readonly string[],
  options: { timeoutMs?: number; input?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<RunResult> {
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const timeoutMs = options.timeoutMs ?? 60_000;
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  if (timedOut) {
    throw new Error(`${program} ${args.join(' ')} ran over ${timeoutMs} ms\n${stdout}${stderr}`);
  }
  return { code, stdout, stderr };
}

export const onehop = (
  args: readonly string[],
  options: Parameters<typeof run>[2] = {},
): Promise<RunResult> => run(process.execPath, [onehopMain, ...args], options);

/** A long-running child whose output is kept, and which is always gone after `stop`. */
export class Daemon {
  output = '';
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...env },
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.exited = new Promise((done) => {
      this.child.once('close', (code) => done(code));
      this.child.once('error', (error) => {
        this.output += String(error);
        done(null);
      });
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Resolves once the output contains `text`; rejects when the child ends or time runs out. */
  async waitForOutput(text: string | RegExp, timeoutMs = 10_000): Promise<void> {
    await until(
      () => {
        if (typeof text === 'string' ? this.output.includes(text) : text.test(this.output))
          return true;
        if (!this.running) throw new Error(`ended before it printed ${text}:\n${this.output}`);
        return false;
      },
      { timeoutMs, what: () => `output ${text}; so far:\n${this.output}` },
    );
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 10_000): Promise<number | null> {
    if (this.running) this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Polls a condition; the only waiting that tests do. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  options: { timeoutMs?: number; everyMs?: number; what?: string | (() => string) } = {},
): Promise<void> {
  const deadline = Date.now() + (options.timeoutMs ?? 10_000);
  for (;;) {
    if (await condition()) return;
    if (Date.now() > deadline) {
      const what = typeof options.what === 'function' ? options.what() : options.what;
      throw new Error(`waited ${options.timeoutMs ?? 10_000} ms for ${what ?? 'a condition'}`);
    }
    await sleep(options.everyMs ?? 10);
  }
}
