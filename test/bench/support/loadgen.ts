import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const folder = join(root, 'build-loadgen');

/** What the client prints. */
export interface Report {
  seconds: number; operations: number; bytes: number; bulkBytes: number; failures: number;
  corrupt: number; late: number; reopened: number; cpuSeconds: number; busiest: number;
  runDelaySeconds: number; saturated: boolean; p50Us: number; p90Us: number; p99Us: number;
  p999Us: number; maxUs: number; peersCpuSeconds: number[]; firstError: string;
}

/** Builds what is not up to date; the path of the program. */
export async function buildLoadgen(): Promise<string> {
  await run('cmake', ['-S', join(root, 'bench', 'loadgen'), '-B', folder]);
  await run('cmake', ['--build', folder]);
  return join(folder, 'onehop_loadgen');
}

export interface Ended { code: number; out: string; err: string }

export function runLoadgen(program: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(program, args, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out,
        err });
    });
  });
}

/** The last line it printed; fails with its stderr when it did not end well. */
export async function measure(program: string, work: string, target: string,
  options: Record<string, string | number> = {}): Promise<Report> {
  const given = { '--seconds': 0.3, '--warmup': 0.05, ...options };
  const args = ['client', work, target, ...Object.entries(given).flat().map(String)];
  const { code, out, err } = await runLoadgen(program, args);
  if (code !== 0) throw new Error(`loadgen ${args.join(' ')}: ${err}`);
  return JSON.parse(out.trim().split('\n').at(-1) ?? '') as Report;
}

export interface RunningServer { address: string; pid: number; stop(): Promise<void> }

export function startServer(program: string): Promise<RunningServer> {
  return startListening(program, ['server', '127.0.0.1:0']);
}

/** One hop of plain bytes to `target`. */
export function startRelay(program: string, target: string): Promise<RunningServer> {
  return startListening(program, ['relay', '127.0.0.1:0', target]);
}

async function startListening(program: string, args: readonly string[]): Promise<RunningServer> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const [line] = await once(createInterface(child.stdout), 'line') as [string];
  const { listening } = JSON.parse(line) as { listening: number };
  return {
    address: `127.0.0.1:${listening}`,
    pid: child.pid ?? 0,
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
