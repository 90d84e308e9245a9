import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { SaxesParser } from 'saxes';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { hasVectorisedGcm, processorName } from '../../bench/suite/machine.js';
import { runBench } from '../../bench/suite/main.js';
import { answersOf } from '../../bench/suite/report/answers.js';
import { gather, parseRecords, runOf } from '../../bench/suite/report/gather.js';
import { pageOf } from '../../bench/suite/report/page.js';
import { loadPlotter, type Plotter } from '../../bench/suite/report/plotter.js';
import { scaleOf } from '../../bench/suite/report/scale.js';
import { summarySvg } from '../../bench/suite/report/summary.js';
import { targetsOf } from '../../bench/suite/report/targets.js';
import { escapeXml, html, Markup } from '../../bench/suite/report/xml.js';
import type { ResultRecord } from '../../bench/suite/runner.js';
import { failed, runs, setup, system, wholeRun } from './support/records.js';

let plot: Plotter;
beforeAll(async () => {
  const loaded = await loadPlotter();
  if (loaded === undefined) throw new Error('echarts is not installed');
  plot = loaded;
});

/** Throws where it is not well-formed. */
function parseXml(text: string): void {
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', (error) => {
    throw error;
  });
  parser.write(text).close();
}

const page = (records: readonly ResultRecord[], pen: Plotter | undefined = plot): string =>
  pageOf([runOf('one', records)], pen);
const sentences = (records: readonly ResultRecord[]): string[][] =>
  answersOf(runOf('one', records)).map(({ lead, more }) => [...lead, ...more]);

describe('the three answers', () => {
  it('tell the double hop, the node proxies and the limit, with what is established', () => {
    const [double, node, limit] = answersOf(runOf('one', wholeRun(8)));
    expect(double?.question).toBe('What does the double hop cost?');
    expect(double?.tiles.map(({ big, mark }) => [big, mark])).toEqual(
      [['4.00×', 'differs'], ['0.11×', 'differs'], ['1.40×', 'differs']]);
    expect(double?.lead[0]).toContain('the sidecar double hop (envoy-sidecar) spends 80.0 µs/op of '
      + 'proxy CPU, two plaintext hops (relay) 20.0: 4.00 times [');
    expect(double?.lead[0]).toMatch(/\], established\.$/);
    expect(node?.tiles.map(({ big }) => big)).toEqual(['0.38×', '1.50×', '1.50×', '1.08×']);
    expect(limit?.tiles[0]).toMatchObject({ big: '25,000 /s' });
    expect(limit?.lead[0])
      .toMatch(/^HTTP requests: the node-proxy path peaks at 25,000 \/s .*64 conn/);
    expect(limit?.lead[0]).toContain('not processor time: 1.3 of 2 processors busy with it');
  });
  it('take the L4 form of the double hop for bytes', () => {
    const [double = []] = sentences(wholeRun(8));
    expect(double.filter((text) => text.startsWith('bulk up'))[0]).toContain('(envoy-l4)');
  });
  it('claim nothing from too few rounds', () => {
    const answers = answersOf(runOf('one', wholeRun(3)));
    const texts = answers.flatMap(({ lead, more }) => [...lead, ...more]);
    expect(answers.flatMap(({ tiles }) => tiles).every(({ mark }) => (mark ?? 'none') === 'none'))
      .toBe(true);
    expect(texts.filter((text) => /, established|no difference/.test(text))).toEqual([]);
    expect(texts[0]).toContain('4.00 times, too few rounds: no claim');
  });
  it('say when there is no difference', () => {
    const equal = ['relay', 'hbone'].flatMap((name) => runs('bulk-up-16', name, 8,
      { throughput: 1e9, cpuSecondsPerGb: 1 }));
    const [, node = []] = sentences([setup, system('relay'), system('hbone'), ...equal]);
    expect(node[0]).toContain('no difference established');
  });
  it('say why they cannot tell', () => {
    const absent = wholeRun(8)
      .filter((record) => record.kind !== 'run' || record.system !== 'envoy-sidecar')
      .map((record) => record.kind === 'system' && record.name === 'envoy-sidecar'
        ? system('envoy-sidecar', 'no envoy here') : record);
    const [double = []] = sentences(absent);
    expect(double.join()).toContain('this run cannot say; envoy-sidecar is absent: no envoy here.');
    const [none] = answersOf(runOf('empty', [setup]));
    expect(none?.lead).toEqual(['None of the loads that would tell is in this run.']);
  });
  it('make no ratio with a void row', () => {
    const records = wholeRun(8).map((record): ResultRecord => record.kind === 'run'
      && record.system === 'relay' && record.measured !== undefined
      ? { ...record, measured: { ...record.measured, clientShare: 0.99 } } : record);
    const [double = []] = sentences(records);
    expect(double.join())
      .toContain('no ratio, for relay is void: the generator\'s client is saturated');
  });
});

describe('targets', () => {
  it('are reached or missed only with the whole interval', () => {
    const results = targetsOf(runOf('one', wholeRun(8)));
    const of = (what: string, metric: string): string | undefined => results.find((result) =>
      result.what === what && result.metric === metric && /64 conn|bulk/.test(result.workload))
      ?.reached;
    expect(of('hbone ÷ relay', 'proxy CPU')).toBe('missed');
    expect(of('hbone ÷ envoy-connect', 'proxy CPU')).toBe('not known');
    expect(targetsOf(runOf('one', wholeRun(3))).map(({ reached }) => reached))
      .not.toContain('reached');
  });
  it('are those of the AES-GCM that ran', () => {
    const bounds = (vectorisedGcm: boolean): string[] =>
      targetsOf(runOf('one', wholeRun(8).map((record) =>
        record.kind === 'setup' ? { ...record, vectorisedGcm } : record)))
        .filter(({ what }) => what === 'hbone ÷ relay').map(({ bound }) => bound);
    expect(bounds(true)).toEqual(expect.arrayContaining(['at least 0.95×', 'at most 1.1×']));
    expect(bounds(false)).toEqual(expect.arrayContaining(['at least 0.8×', 'at most 1.45×']));
  });
});

describe('the machine', () => {
  const flags = 'avx512f avx512dq avx512bw avx512vl vaes vpclmulqdq';
  it('has a vectorised AES-GCM where OpenSSL and processor both know it', () => {
    const cpuinfo = `processor\t: 0\nflags\t\t: fpu ${flags} avx512_vnni\nbugs\t\t: none\n`;
    expect(hasVectorisedGcm('3.5.8', cpuinfo)).toBe(true);
    expect(hasVectorisedGcm('4.0.0', cpuinfo)).toBe(true);
    expect(hasVectorisedGcm('3.0.19', cpuinfo)).toBe(false);
  });
  it.each(flags.split(' '))('has none without %s', (flag) => {
    const cpuinfo = `flags\t: ${flags.replace(flag, `${flag}x`)}\n`;
    expect(hasVectorisedGcm('3.5.8', cpuinfo)).toBe(false);
  });
  it('is named with its family and model, where they are known', () => {
    const cpuinfo = 'cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n';
    expect(processorName('AMD EPYC', cpuinfo)).toBe('AMD EPYC (family 25, model 17)');
    expect(processorName('AMD EPYC', 'unknown')).toBe('AMD EPYC');
  });
  it('has none where nothing says so', () => {
    expect(hasVectorisedGcm('3.5.8', 'unknown')).toBe(false);
  });
});

const hostile = '<script>alert("x")</script> & \'quotes\' \u0000\u001b[31m \ud800 {a|rich} ]]> |';

describe('the page', () => {
  it('is well-formed and refers to nothing outside of it', () => {
    const text = page([...wholeRun(8), { kind: 'remark', text: 'a remark' }]);
    parseXml(text);
    expect(text).toContain('<svg');
    expect(text).toContain('a remark');
    const outside = text.replaceAll('xmlns="http://www.w3.org/2000/svg"', '');
    expect(outside).not.toMatch(/https?:|\bsrc=|url\(|@import|<script|<link|<iframe|xlink/);
    for (const [, target] of text.matchAll(/href="([^"]*)"/g)) {
      expect(text).toContain(`id="${target?.slice(1)}"`);
    }
  });
  it('names machine, versions, commit, command and date', () => {
    const text = page(wholeRun(8));
    for (const part of ['Test CPU, 2 processors', 'Node v24.1.0, OpenSSL 3.5.1, AES-GCM vectorised', 'abcdef012345',
      '--rounds 8 --seconds 1', '--only direct,relay,hbone,envoy-sidecar,envoy-l4,',
      '2026-01-02T03:04:05.000Z', 'envoy-l4 1.0']) {
      expect(text).toContain(part);
    }
  });
  it('names an unusual age at which memory was read', () => {
    const usual = page([{ ...setup, ageSeconds: 10 }, ...wholeRun(1)]);
    expect(usual).toContain('memory read 10 s or more after a system&#39;s start');
    expect(usual).not.toContain('--age');
    expect(page([{ ...setup, ageSeconds: 3 }, ...wholeRun(1)])).toContain('--warmup 0.1 --age 3 ');
  });
  it('names a congestion control that was asked for', () => {
    expect(page([{ ...setup, congestionGiven: true }, ...wholeRun(1)]))
      .toContain('--warmup 0.1 --congestion reno ');
    expect(page([{ ...setup, congestionGiven: false }, ...wholeRun(1)])).not.toContain('--congestion');
  });
  it('escapes whatever the results hold', () => {
    const text = page([{ ...setup, cpu: hostile, commit: hostile }, system('relay', hostile),
      system('hbone'), system(hostile), failed('ping-1b-64', hostile, hostile),
      ...runs('ping-1b-64', 'hbone', 2, { rate: 5 }), { kind: 'remark', text: hostile }]);
    parseXml(text);
    expect(text).not.toContain('<script');
    expect(text).toContain('&lt;script&gt;');
  });
  it('marks what is absent, void, failed or incomplete', () => {
    const [first] = runs('ping-1b-64', 'relay', 1, { rate: 9 });
    const text = page([
      setup, system('direct'), system('relay'), system('hbone'), system('envoy-l4', 'no envoy'),
      system('nginx-l4'),
      ...runs('ping-1b-64', 'direct', 8, { rate: 50, clientShare: 0.97 }),
      ...first === undefined ? [] : [first], failed('ping-1b-64', 'relay', 'round two broke'),
      ...runs('ping-1b-64', 'hbone', 8, { rate: 10, failures: 3, corrupt: 0 }),
      failed('ping-1b-64', 'nginx-l4', 'near ended with code 1'),
    ]);
    const svg = [...text.matchAll(/<svg[\s\S]*?<\/svg>/g)].map(([one]) => one)
      .find((one) => one.includes('>nginx-l4<')) ?? '';
    for (const part of ['>absent: no envoy<', '>void<', '>void, 24 failed<', '>rounds failed<',
      '>failed: near ended with code 1<', 'stroke-dasharray']) expect(svg).toContain(part);
    for (const part of ['direct: void: the generator&#39;s client is saturated',
      'hbone: 24 failures', 'relay: some rounds failed: round two broke']) {
      expect(text).toContain(part);
    }
  });
  it('shows systems, groups and micro-benches that nobody told it of', () => {
    const micro = { kind: 'micro', absent: ['no compiler'], rows: [{ group: 'Records',
      name: 'seal <64 B>', median: 100, low: 90, high: 120, samples: 9, bytes: 64 }] };
    const text = page([...wholeRun(8), system('newcomer'),
      ...runs('http-64', 'newcomer', 8, { rate: 1e4, cpuUsPerOperation: 5 }),
      micro as unknown as ResultRecord]);
    parseXml(text);
    for (const part of ['>newcomer<', 'seal &lt;64 B&gt;', 'Absent: no compiler']) {
      expect(text).toContain(part);
    }
  });
  it('tells of workloads that it does not know', () => {
    expect(page([setup, system('hbone'), ...runs('gone', 'hbone', 2, { rate: 1 })]))
      .toContain('workload gone is none that this version of the bench knows');
  });
  it('has all the numbers without the plotting library', () => {
    const text = pageOf([runOf('one', wholeRun(8))], undefined);
    parseXml(text);
    expect(text).not.toContain('<svg');
    expect(text).toContain('package echarts is not installed');
    expect(text).toContain('>80.0 (79.2–80.8)<');
  });
});

describe('the summary', () => {
  it('is one SVG for light and dark, with its own background', () => {
    const svg = summarySvg(runOf('one', wholeRun(8)), plot) ?? '';
    parseXml(svg);
    expect(svg).toMatch(/^<svg role="img"/);
    expect(svg).toContain('prefers-color-scheme: dark');
    expect(svg).toMatch(/<rect width="920" height="\d+" x="0" y="0" fill="#ffffff"/);
    for (const part of ['HTTP: p99 latency', 'Bulk: throughput', 'Ping-pong: proxy CPU',
      'onehop (HBONE)', '>0.38×<', 'abcdef012345']) expect(svg).toContain(part);
    expect(svg).not.toMatch(/class=|ecmeta|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  });
  it('is not there when nothing for it was measured', () => {
    expect(summarySvg(runOf('one', [setup]), plot)).toBeUndefined();
  });
});

describe('results.jsonl', () => {
  const cut = `${JSON.stringify(setup)}\n{"kind":"ru`;
  it('may end in a line that was cut', () => {
    expect(parseRecords(cut, 'a/results.jsonl')[1])
      .toEqual({ kind: 'remark', text: 'the last line of results.jsonl was cut' });
  });
  it.each([`${cut}\n`, '[]', '{"kind":1}', 'null'])('is refused with file and line: %j', (text) => {
    expect(() => parseRecords(text, 'f')).toThrow(/^f:\d is no record of the bench/);
  });
});

describe('--render', () => {
  let folder: string;
  const put = (name: string, records: readonly ResultRecord[]): string => {
    const directory = mkdtempSync(join(folder, `${name}-`));
    writeFileSync(join(directory, 'results.jsonl'),
      records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    return directory;
  };
  let said = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'onehop-report-'));
    said = '';
    const say = (text: string | Uint8Array): boolean => {
      said += String(text);
      return true;
    };
    vi.spyOn(process.stdout, 'write').mockImplementation(say);
    vi.spyOn(process.stderr, 'write').mockImplementation(say);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(folder, { recursive: true, force: true });
  });

  it('writes all files again, in place', async () => {
    const directory = put('a', wholeRun(6));
    expect(await runBench(['--render', directory])).toBe(0);
    expect(readdirSync(directory).sort())
      .toEqual(['results.html', 'results.jsonl', 'results.md', 'summary.svg']);
    expect(said).toBe(`${join(directory, 'results.html')}\n`);
    const before = readFileSync(join(directory, 'results.html'), 'utf8');
    expect(await runBench(['--render', directory])).toBe(0);
    expect(readFileSync(join(directory, 'results.html'), 'utf8')).toBe(before);
  });
  it('joins parts of one run, and keeps other machines apart', () => {
    const all = wholeRun(6);
    const isHttp = (record: ResultRecord): boolean =>
      record.kind !== 'run' || record.workload.startsWith('http');
    const http = put('http', all.filter(isHttp));
    const rest = put('rest', all.filter((record) => record.kind !== 'run' || !isHttp(record)));
    const other = put('other', all.map((record) =>
      record.kind === 'setup' ? { ...record, node: 'v20.0.0' } : record));
    const [joined, apart, more] = gather([http, rest, other]);
    expect(joined?.measured.length).toBe(apart?.measured.length);
    expect(joined?.systems.length).toBe(5);
    expect(more).toBeUndefined();
    // The same workloads twice are two runs, even of one machine.
    expect(gather([http, http])).toHaveLength(2);
  });
  it('puts several runs into one report with --out', async () => {
    const out = join(folder, 'out');
    const other = wholeRun(6).map((record) =>
      record.kind === 'setup' ? { ...record, cpu: 'Other CPU' } : record);
    const parts = [put('a', wholeRun(6)), put('b', other)];
    expect(await runBench(['--render', ...parts, '--out', out])).toBe(0);
    const text = readFileSync(join(out, 'results.html'), 'utf8');
    parseXml(text);
    expect(text).toContain('Test CPU');
    expect(text).toContain('Other CPU');
    expect(new Set([...text.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id)).size)
      .toBe([...text.matchAll(/ id="/g)].length);
    expect(readFileSync(join(out, 'results.md'), 'utf8')).toContain('Other CPU');
  });
  it('ends with 2 where there is nothing to render', async () => {
    expect(await runBench(['--render', join(folder, 'nowhere')])).toBe(2);
    expect(said).toContain('there is no ');
    expect(await runBench(['--render', put('empty', [])])).toBe(2);
    expect(await runBench(['--render', put('a', wholeRun(6)), '--rounds', '3'])).toBe(2);
    expect(said).toContain('--render measures nothing: --rounds says nothing to it');
  });
});

describe('parts of the report', () => {
  it('escape text, and only text', () => {
    expect(escapeXml('<a b="c">&\'\u0007')).toBe('&lt;a b=&quot;c&quot;&gt;&amp;&#39;\ufffd');
    expect(html`<i>${'<'}${new Markup('<b/>')}${['&', html`<u/>`]}</i>`.text)
      .toBe('<i>&lt;<b/>&amp;<u/></i>');
  });
  it('take a scale from zero, and a logarithmic one only where it must be', () => {
    expect(scaleOf([3, 40]).axis).toMatchObject({ min: 0, max: 40 });
    expect(scaleOf([1, 1000]).logarithmic).toBe(true);
    expect(scaleOf([0, 5]).logarithmic).toBe(false);
    expect(scaleOf([]).axis.max).toBeGreaterThan(0);
    for (const [least, most] of [[0.002, 3], [9, 300], [950, 1.2e6], [1e-9, 1]] as const) {
      const { axis, at } = scaleOf([least, most]);
      expect(at(least)).toBeGreaterThanOrEqual(axis.min - 1e-9);
      expect(at(most)).toBeLessThanOrEqual(axis.max + 1e-9);
      expect(axis.labels.size).toBe(axis.ticks.length);
    }
  });
});
