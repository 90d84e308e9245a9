import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

import { describe, expect, it } from 'vitest';

// Other threads and processes load compiled code, as they do in use.
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const compiled = pathToFileURL(join(root, 'dist', 'engine', 'engine.js')).href;
const start = `
  const { Engine } = await import('${compiled}');
  const engine = Engine.start({ shards: 2 }, { decide: () => ({ allow: false }) });
  const listen = () => engine.listen({ kind: 'forward', address: '127.0.0.1:0' });
`;

function worker(code: string): Worker {
  const body = `(async () => { const { parentPort } = require('node:worker_threads');
    ${start} ${code} })()`;
  return new Worker(body, { eval: true });
}

async function run(code: string, ...flags: string[]): Promise<{ status: number; output: string }> {
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', `${start} ${code}`],
    { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => { output += part; });
  }
  const [status] = await once(child, 'close') as [number | null];
  return { status: status ?? -1, output };
}

/** What the engine opens and nothing else here does. */
function loops(): number {
  const kinds = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return kinds.filter((kind) => kind === 'anon_inode:[eventpoll]').length;
}
const threads = (): number => readdirSync('/proc/self/task').length;

describe('a worker thread', () => {
  it('runs an engine of its own and takes it along when terminated', async () => {
    const before = { loops: loops(), threads: threads() };
    for (let turn = 0; turn < 5; turn += 1) {
      const all = [1, 2].map(() => worker("listen(); parentPort.postMessage('up');"));
      await Promise.all(all.map((one) => once(one, 'message')));
      expect(loops()).toBeGreaterThanOrEqual(before.loops + 4);
      await Promise.all(all.map((one) => one.terminate()));
    }
    expect(loops()).toBe(before.loops);
    expect(threads()).toBeLessThanOrEqual(before.threads + 1);
  });
  it('ends by itself when its engine neither listens nor waits', async () => {
    const [status] = await once(worker("parentPort.postMessage('up');"), 'exit') as [number];
    expect(status).toBe(0);
  });
  it('may end in the middle of dials and flows', async () => {
    // Summaries are on their way to JavaScript most of the time, so some turns end in the middle of one.
    for (let turn = 0; turn < 20; turn += 1) {
      const one = worker(`const { address } = listen(); parentPort.postMessage('up');
        const dials = async () => {
          for (;;) await engine.dial({ endpoint: { protocol: 'tcp', dial: address } })
            .then((socket) => socket.on('error', () => {}).destroy(), () => {});
        };
        for (let i = 0; i < 8; i += 1) void dials();`);
      await once(one, 'message');
      await new Promise((resolve) => setTimeout(resolve, 15 + 2 * turn));
      await one.terminate();
    }
    expect(threads()).toBeGreaterThan(0);
  });
});

describe('a process', () => {
  it('stays while the engine listens, and not after unref', async () => {
    const listening = run('listen(); setTimeout(() => engine.stop(), 300).unref();' +
      "process.on('exit', () => console.log(Math.round(performance.now())))");
    const { status, output } = await listening;
    expect(status).toBe(0);
    expect(Number(output)).toBeGreaterThan(300);
    expect(await run('listen(); engine.unref();')).toEqual({ status: 0, output: '' });
  });
  it('exits at once with its code while the engine runs', async () => {
    expect(await run('listen(); process.exit(7);')).toEqual({ status: 7, output: '' });
  });
  it('hears of an exception in a handler as a warning, and goes on', async () => {
    const { status, output } = await run(`
      const noisy = Engine.start({}, { summaries: () => { throw new Error('no'); } });
      await noisy.dial({ endpoint: { protocol: 'tcp', dial: '127.0.0.1:1' } }).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 50));
      console.log('alive');`);
    expect(status).toBe(0);
    expect(output).toContain('alive');
    expect(output).toContain("the handler 'summaries'");
  });
  it('may read counters after the engine stopped and was collected', async () => {
    const { status, output } = await run(`
      let cells = Engine.start().counterBlock();
      { const other = Engine.start(); cells = other.counterBlock(); other.stop(); }
      engine.stop();
      for (let turn = 0; turn < 20; turn += 1) { gc(); await new Promise(setImmediate); }
      let sum = 0n;
      for (const cell of cells) sum += cell;
      console.log(String(sum));`, '--expose-gc');
    expect({ status, output }).toEqual({ status: 0, output: '0\n' });
  });
});
