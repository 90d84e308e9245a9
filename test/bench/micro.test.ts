import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { beforeAll, describe, expect, it } from 'vitest';

import type { MicroAddon } from '../../bench/suite/micro/addon.js';
import type { MicroReport } from '../../bench/suite/micro/index.js';
import { nativeCases } from '../../bench/suite/micro/native_cases.js';
import { durationOf, microTable } from '../../bench/suite/micro/table.js';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const main = join(root, 'dist', 'bench', 'micro', 'main.js');
const addonFile = join(root, 'build-micro', 'onehop_micro.node');

async function micro(...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [main, ...args]);
  return stdout;
}

describe('every micro-bench', () => {
  let report: MicroReport;
  beforeAll(async () => {
    const out = await micro('--json', '--seconds', '0.001', '--samples', '4');
    report = JSON.parse(out) as MicroReport;
  }, 900_000);

  it('is there and measures something', () => {
    expect(report.absent).toEqual([]);
    const names = report.rows.map(({ group, name }) => `${group}: ${name}`);
    expect(names).toEqual([
      ...nativeCases.map(({ group, name }) => `${group}: ${name}`),
      'Upcall: upcall and verdict, one new key',
      'Upcall: upcall and verdict, 64 new keys at once, mean',
      ...['0', '100', '10,000'].map((count) => `Policy: evaluate ${count} policies`),
      'Policy: index 10,000 policies for the first evaluation',
    ]);
    for (const row of report.rows) {
      expect(row.samples).toBeGreaterThanOrEqual(4);
      expect(row.low).toBeGreaterThan(0);
      expect(row.median).toBeGreaterThanOrEqual(row.low);
      expect(row.high).toBeGreaterThanOrEqual(row.median);
      expect(row.high).toBeLessThan(Infinity);
    }
  });
  it('covers records of both key lengths from 64 B to 16 KiB', () => {
    for (const verb of ['seal', 'open']) {
      for (const bits of ['128', '256']) {
        const sizes = report.rows.filter(({ name }) => name.startsWith(`${verb} AES-${bits}-GCM`));
        expect(sizes.map(({ bytes }) => bytes)).toEqual([64, 256, 1024, 4096, 16_384]);
      }
    }
  });
  it('runs on the OpenSSL of this Node and brings no second one', async () => {
    const addon = createRequire(import.meta.url)(addonFile) as MicroAddon;
    expect(addon.versions()).toBe(process.versions.openssl.split('+')[0]);
    const { stdout } = await run('readelf', ['--dynamic', addonFile]);
    const needed = [...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name);
    expect(needed).toContain('libc.so.6');
    expect(needed.filter((name) => /ssl|crypto/.test(name ?? ''))).toEqual([]);
  });
  it('refuses cases that are none', () => {
    const addon = createRequire(import.meta.url)(addonFile) as MicroAddon;
    for (const [name, size] of [['seal-512', 64], ['seal-128', 0], ['seal-128', 16_385],
      ['flow-cache-hit', 0], ['', 1], ['x'.repeat(200), 1]] as const) {
      expect(() => addon.prepare(name, size)).toThrow('there is no such case');
    }
    const prepared = addon.prepare('hpack-encode', 0);
    expect(() => addon.run(prepared, 0)).toThrow('run(case, count)');
    expect(() => addon.run({}, 1)).toThrow('run(case, count)');
    expect(addon.run(prepared, 10)).toBeGreaterThan(0);
  });
  it('can be chosen by name', async () => {
    const out = await micro('--only', 'connect head', '--seconds', '0.001', '--samples', '4');
    const rows = out.split('\n').filter((line) => line.startsWith('| HTTP/2'));
    expect(rows).toHaveLength(3);
    expect(out).not.toContain('TLS record');
  }, 60_000);
  it.each([[['--only', 'nonsense']], [['--seconds', 'x']], [['--fly']], [['more']]])(
    '%j ends with 2', async (args) => {
      await expect(micro(...args)).rejects.toMatchObject({ code: 2 });
    });
});

describe('the table', () => {
  it('names median, quartiles, speed and what is absent', () => {
    const row = { group: 'G', name: 'n', median: 2000, low: 1500, high: 2500, samples: 9 };
    const table = microTable({ rows: [row, { ...row, bytes: 8000 }], absent: ['no compiler'] });
    expect(table).toContain('| G | n | 2.00 us | 1.50 us to 2.50 us |  | 9 |');
    expect(table).toContain('| 4.00 GB/s | 9 |');
    expect(table).toContain('Absent: no compiler');
  });
  it.each([[0.5, '0.500 ns'], [999.4, '999 ns'], [1000, '1.00 us'], [2.5e6, '2.50 ms'],
    [3e9, '3.00 s']])('writes %d ns as %s', (nanos, text) => {
    expect(durationOf(nanos)).toBe(text);
  });
});
