import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { packageRoot } from './paths.js';
import { ProcessError, tether, type Program, type Stage } from './processes.js';
import type { Endpoint, Layout, Peer } from './system.js';

const serverReadyLine = /\{"listening":(\d+)\}/;

/** What the load generator's client says when it is done; see bench/loadgen/client.h. */
export interface LoadReport {
  readonly seconds: number;
  readonly operations: number;
  readonly bytes: number;
  /** Of the bulk flows beside ping-pong. */
  readonly bulkBytes: number;
  readonly failures: number;
  readonly corrupt: number;
  readonly late: number;
  readonly cpuSeconds: number;
  /** Share of the window that its busiest thread was running, 0 to 1. */
  readonly busiest: number;
  /** Its threads together were ready and waited for a processor. */
  readonly runDelaySeconds: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
  /** In the order of `cpuOf`; negative when that process is gone. */
  readonly peersCpuSeconds: readonly number[];
  readonly firstError: string;
}

export interface Load {
  readonly work: string;
  readonly targets: readonly Endpoint[];
  readonly flows: number;
  /** Ping-pong flows beside bulk; the report's latencies are theirs. */
  readonly beside?: number;
  readonly messageBytes?: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Operations per second of all flows together, open loop; left out: closed loop. */
  readonly rate?: number;
  /** Source addresses that connections take in turn. */
  readonly sources?: number;
  /** Whose CPU clocks are read at both edges of the measured window. */
  readonly cpuOf: readonly Peer[];
}

function canWrite(directory: string): boolean {
  try {
    mkdirSync(directory, { recursive: true });
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The path of the load generator: `ONEHOP_LOADGEN`, or built from the package's sources with the C++
 * compiler of this machine and kept under the hash of what it was built from.
 */
export function loadGenerator(): string {
  const given = process.env['ONEHOP_LOADGEN'] ?? '';
  if (given !== '') {
    if (existsSync(given)) return given;
    throw new Error(`ONEHOP_LOADGEN: there is no ${given}`);
  }
  const folder = join(packageRoot, 'bench/loadgen');
  if (!existsSync(folder)) {
    throw new Error(`the load generator's sources are not in ${folder}; set ONEHOP_LOADGEN to a build`);
  }
  const files = readdirSync(folder).filter((name) => /\.(h|cc)$/.test(name)).sort();
  const hash = createHash('sha256');
  for (const name of files) hash.update(name).update(readFileSync(join(folder, name)));
  const near = join(packageRoot, '.cache/bench');
  const cache = canWrite(near) ? near : join(homedir(), '.cache/onehop-bench');
  mkdirSync(cache, { recursive: true });
  const binary = join(cache, `loadgen-${hash.digest('hex').slice(0, 16)}`);
  if (!existsSync(binary)) compile(folder, files.filter((name) => name.endsWith('.cc')), binary);
  return binary;
}

function compile(folder: string, sources: readonly string[], binary: string): void {
  const compiler = process.env['CXX'] ?? 'c++';
  const made = `${binary}.${process.pid}`;
  const { status, stderr, error } = spawnSync(compiler,
    ['-std=c++20', '-O3', '-DNDEBUG', '-pthread', '-o', made, ...sources],
    { cwd: folder, encoding: 'utf8' });
  if (error !== undefined || status !== 0) {
    throw new Error(`the load generator needs a C++20 compiler (CXX, else c++) or ONEHOP_LOADGEN: `
      + (error?.message ?? stderr.slice(-1_000)));
  }
  renameSync(made, binary);
}

/** Starts the generator's server on the far side; it serves until the stage ends. */
export async function startServer(binary: string, stage: Stage, layout: Layout, scratch: string,
  signal: AbortSignal): Promise<{ program: Program; endpoint: Endpoint }> {
  const port = await layout.freePort('far');
  const endpoint = { host: layout.serverHost, port };
  const program = stage.start(layout, scratch, 'server', 'far',
    [binary, 'server', `${endpoint.host}:${port}`]);
  await program.waitReady(async () =>
    serverReadyLine.test(readFileSync(program.log, 'utf8')), signal);
  return { program, endpoint };
}

const argvOf = (binary: string, load: Load): string[] => [
  binary, 'client', load.work, load.targets.map(({ host, port }) => `${host}:${port}`).join(','),
  '--flows', String(load.flows), '--seconds', String(load.seconds),
  '--warmup', String(load.warmupSeconds),
  ...(load.beside === undefined ? [] : ['--beside', String(load.beside)]),
  ...(load.messageBytes === undefined ? [] : ['--message', String(load.messageBytes)]),
  ...(load.sources === undefined ? [] : ['--sources', String(load.sources)]),
  ...(load.rate === undefined ? [] : ['--rate', String(load.rate)]),
  ...(load.cpuOf.length === 0 ? [] : ['--cpu-of', load.cpuOf.map(({ pid }) => pid).join(',')]),
];

/** CPU seconds that the processes have spent so far, together. */
export function cpuSecondsOf(binary: string, pids: readonly number[]): number {
  const { status, stdout } = spawnSync(binary, ['cpu', ...pids.map(String)], { encoding: 'utf8' });
  if (status !== 0) throw new ProcessError('the load generator cannot read clocks of processes');
  const nanos = Object.values(JSON.parse(stdout) as Record<string, number | null>);
  return nanos.reduce<number>((sum, one) => sum + (one ?? 0), 0) / 1e9;
}

/** A client that runs until its time is up, or until `end`. */
export interface RunningLoad {
  /** Resolves when every flow stands (work `idle` only). */
  readonly connected: Promise<void>;
  readonly report: Promise<LoadReport>;
  end(): void;
}

/** Starts a client on the near side. Its failure to run rejects `report` with ProcessError. */
export function startLoad(binary: string, layout: Layout, load: Load,
  signal: AbortSignal): RunningLoad {
  signal.throwIfAborted();  // what starts now, nobody would end
  const [command = '', ...args] = [...tether, ...layout.inside('near'), ...argvOf(binary, load)];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const end = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  let out = '';
  let complaint = '';
  let announce: () => void = () => undefined;
  const connected = new Promise<void>((done) => (announce = done));
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    if (out.includes('{"connected":')) announce();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  const report = new Promise<LoadReport>((done, fail) => {
    child.once('error', (error) => fail(new ProcessError(`load generator: ${error.message}`)));
    child.once('close', (code) => {
      signal.removeEventListener('abort', end);
      announce();
      if (signal.aborted) fail(signal.reason as Error);
      else if (code === 0) done(JSON.parse(out.trim().split('\n').at(-1) ?? '') as LoadReport);
      else fail(new ProcessError(complaint.trim() || `the load generator ended with code ${code}`));
    });
  });
  report.catch(() => undefined);
  return { connected, report, end };
}
