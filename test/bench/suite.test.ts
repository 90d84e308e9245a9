import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from 'vitest';

import { congestionControls } from '../../bench/suite/options.js';
import type { RunRecord } from '../../bench/suite/runner.js';
import { systems } from '../../bench/suite/systems/index.js';
import { probeNginxStream } from '../../bench/suite/systems/nginx.js';
import { processOf, treeOf } from '../../bench/suite/systems/process_tree.js';
import { takesPart } from '../../bench/suite/taking_part.js';
import { workloads } from '../../bench/suite/workloads.js';
import { BenchRun } from './support/suite.js';

const tiny = ['--rounds', '1', '--seconds', '0.1', '--warmup', '0.1', '--age', '1'];
const ours = systems.map(({ name }) => name)
  .filter((name) => /^(direct|hbone.*|handshake-loop)$/.test(name));
const others = systems.map(({ name }) => name).filter((name) => !ours.includes(name));
const isRoot = process.getuid?.() === 0;
const nginx = await probeNginxStream();
const restricted = congestionControls('available')
  .find((name) => !congestionControls('allowed').includes(name));
let started: BenchRun[] = [];

function bench(...args: readonly string[]): BenchRun {
  const run = new BenchRun(...args);
  started.push(run);
  return run;
}

afterEach(() => {
  started.forEach((run) => run.remove());
  started = [];
});

/** What is wrong with a run; '' when nothing is. */
function fault({ system, workload, measured, error }: RunRecord): string {
  const said = (why: string): string => `${workload} ${system}: ${why}`;
  if (measured === undefined) return said(error ?? 'not measured');
  if (measured.corrupt > 0) return said(`${measured.corrupt} corrupt`);
  if (measured.failures > 0) return said(`${measured.failures} failures: ${measured.firstError}`);
  const shown = measured.throughput ?? measured.restBytes ?? measured.operations;
  return shown > 0 ? '' : said('nothing was done');
}

const faults = (runs: readonly RunRecord[]): string[] =>
  runs.map(fault).filter((text) => text !== '');

describe('a smoke run', () => {
  it('of every workload on our own systems is sane', async () => {
    const run = bench(...tiny, '--only', [...ours, ...workloads.map(({ name }) => name)].join());
    expect(await run.code).toBe(0);
    expect(faults(run.runs)).toEqual([]);
    expect(run.complaint).not.toContain('rejected');
    expect(new Set(run.runs.map(({ workload }) => workload)))
      .toEqual(new Set(workloads.map(({ name }) => name)));
    const present = run.systems.filter(({ absent }) => absent === undefined);
    expect(new Set(run.runs.map(({ system }) => system)))
      .toEqual(new Set(present.map(({ name }) => name)));
    for (const { title } of workloads) expect(run.markdown).toContain(title);
    expect(await run.leftovers()).toEqual([]);
  }, 240_000);

  it('of every workload on every other system that is installed is sane', async () => {
    const run = bench(...tiny, '--only', [...others, ...workloads.map(({ name }) => name)].join());
    expect(await run.code).toBe(0);
    expect(faults(run.runs)).toEqual([]);
    expect(run.systems.map(({ name }) => name)).toEqual(others);
    const done = new Set(run.runs.map(({ system, workload }) => `${workload} ${system}`));
    const due = run.systems.filter(({ absent }) => absent === undefined).flatMap(({ name }) =>
      workloads.filter((workload) => takesPart(name, workload, 'loopback'))
        .map((workload) => `${workload.name} ${name}`));
    expect(due.filter((cell) => !done.has(cell))).toEqual([]);
    for (const { name, version, absent } of run.systems) {
      expect(version ?? absent, name).toMatch(/./);
      if (absent === undefined) expect(run.markdown).toContain(`| ${name} |`);
      else expect(run.markdown).toContain(`absent: ${absent}`);
    }
    expect(await run.leftovers()).toEqual([]);
  }, 420_000);

  it.runIf(isRoot)('in network namespaces, captured, with one congestion control, is sane',
    async () => {
      const run = bench(...tiny, '--layout', 'loopback,netns', '--congestion', 'reno',
        '--only', 'direct,relay-epoll,hbone,ztunnel,ping-1b-1,connect-1');
      expect(await run.code).toBe(0);
      expect(faults(run.runs)).toEqual([]);
      expect(run.runs.length).toBeGreaterThanOrEqual(12);
      expect(run.markdown).toContain('TCP reno');
      for (const { measured } of run.runs) expect(measured?.clientWaitShare).toBeGreaterThanOrEqual(0);
      expect(await run.leftovers()).toEqual([]);
    }, 120_000);
});

describe('rounds', () => {
  it('go the other way round in every second one', async () => {
    const run = bench('--rounds', '2', '--seconds', '0.1', '--warmup', '0', '--only',
      'direct,relay-epoll,ping-1b-1');
    expect(await run.code).toBe(0);
    expect(run.runs.map(({ system }) => system))
      .toEqual(['direct', 'relay-epoll', 'relay-epoll', 'direct']);
  }, 60_000);

  it('of --quick are those of its few systems and workloads', async () => {
    const run = bench('--quick', '--rounds', '1', '--seconds', '0.1', '--warmup', '0');
    expect(await run.code).toBe(0);
    const quick = workloads.filter((workload) => workload.quick === true);
    expect(new Set(run.runs.map(({ workload }) => workload)))
      .toEqual(new Set(quick.map(({ name }) => name)));
    expect(run.systems.map(({ name }) => name)).toEqual(['direct', 'relay', 'relay-epoll', 'hbone',
      'envoy-sidecar', 'envoy-connect', 'ztunnel']);
    expect(faults(run.runs)).toEqual([]);
  }, 120_000);
});

describe('a run that goes wrong', () => {
  it('says which peer died, and goes on', async () => {
    const run = bench('--rounds', '1', '--seconds', '1.5', '--only',
      'direct,relay-epoll,ping-1b-1,ping-1k-1');
    await run.said('ping-1b-1 relay-epoll');
    await sleep(700);
    const hop = run.descendants().find(({ command }) => command.includes(' relay '));
    process.kill(hop?.pid ?? 0, 'SIGKILL');
    expect(await run.code).toBe(0);
    const of = (workload: string, system: string): RunRecord | undefined =>
      run.runs.find((one) => one.workload === workload && one.system === system);
    expect(of('ping-1b-1', 'relay-epoll')?.error).toMatch(/relay-epoll-\w+ ended with SIGKILL/);
    expect(run.markdown).toMatch(/failed: relay-epoll-\w+ ended with SIGKILL/);
    expect(of('ping-1k-1', 'relay-epoll')?.measured?.operations).toBeGreaterThan(0);
    expect(of('ping-1k-1', 'direct')?.measured?.operations).toBeGreaterThan(0);
    expect(await run.leftovers()).toEqual([]);
  }, 60_000);

  it.each(isRoot ? ['loopback', 'netns'] : ['loopback'])(
    'leaves nothing behind when it is interrupted in %s', async (layout) => {
      const run = bench('--layout', layout, '--rounds', '1', '--seconds', '20', '--only',
        'hbone,ping-1b-1');
      await run.said('ping-1b-1 hbone');
      while (!run.descendants().some(({ command }) => command.includes(' client '))) await sleep(20);
      run.signal('SIGINT');
      expect(await run.code).toBe(130);
      expect(await run.leftovers()).toEqual([]);
    }, 60_000);

  // nginx has workers of its own, and overwrites its environment.
  it.each(['absent' in nginx ? [] : ['nginx-l4'], 'relay-epoll'].flat())(
    'leaves no process of %s behind when it is killed', async (system) => {
      const run = bench('--rounds', '1', '--seconds', '20', '--only', `${system},ping-1b-1`);
      while (!run.descendants().some(({ command }) => command.includes(' client '))) await sleep(20);
      const tree = await treeOf(run.pid);
      expect(tree.length).toBeGreaterThan(4);
      run.signal('SIGKILL');
      await run.code;
      expect(await run.leftovers()).toEqual([]);
      const alive = async (): Promise<number[]> =>
        (await Promise.all(tree.map(({ pid }) => processOf(pid)))).flatMap((one) => one?.pid ?? []);
      await expect.poll(alive, { timeout: 5_000 }).toEqual([]);
    }, 60_000);
});

describe('usage', () => {
  it.each([
    [['--only', 'hbone,nonsense']], [['--only', 'direct,cold']], [['--layout', 'moon']],
    [['--fly']], [['more']], [['--rounds', '0']], [['--congestion', 'none-such']],
  ])('%j ends with 2 and what there is', async (args) => {
    const run = bench(...args);
    expect(await run.code).toBe(2);
    expect(run.markdown).toBe('');
    if (args[1] !== 'direct,cold') {
      expect(run.complaint).toContain(systems.map(({ name }) => name).join(', '));
      expect(run.complaint).toContain(workloads.map(({ name }) => name).join(', '));
    }
    if (args[0] === '--fly') expect(run.complaint).toContain('options: --quick, --only, --layout');
  });

  it.runIf(restricted !== undefined)(
    'a congestion control that no namespace may use ends with 2 and how to allow it', async () => {
      const run = bench('--congestion', restricted ?? '');
      expect(await run.code).toBe(2);
      expect(run.complaint).toContain(`"${congestionControls('allowed').join(' ')} ${restricted}"`);
    });
});
