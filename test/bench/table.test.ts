import { describe, expect, it } from 'vitest';

import type { LoadReport } from '../../bench/suite/loadgen.js';
import { lossOf } from '../../bench/suite/measure.js';
import type { Ratio } from '../../bench/suite/statistics.js';
import { generatorText } from '../../bench/suite/markdown.js';
import { rowsOf } from '../../bench/suite/table.js';
import { runs, system, type Values } from './support/records.js';

describe('a row', () => {
  /** hbone beside the relay in one workload: why it is void, and its headline's ratio. */
  function beside(workload: string, mine: Partial<Values>, theirs: Partial<Values>):
  { why: string; ratio: Ratio | undefined } {
    const row = rowsOf([system('relay'), system('hbone'),
      ...runs(workload, 'relay', 8, theirs), ...runs(workload, 'hbone', 8, mine)])
      .find((one) => one.system === 'hbone');
    return { why: row?.void ?? 'no row', ratio: row?.metrics[0]?.ratios['relay'] };
  }

  it('is void where more than one operation in a thousand failed', () => {
    const usual = { rate: 100, operations: 10_000 };
    expect(beside('ping-1b-1', { ...usual, failures: 9 }, usual).why).toBe('');
    const { why, ratio } = beside('ping-1b-1', { ...usual, failures: 11 }, usual);
    expect(why).toBe('too many failures');
    expect(ratio).toBeUndefined();
  });

  it('is void where any bulk flow failed', () => {
    const usual = { throughput: 1e9, operations: 0 };
    expect(beside('bulk-up-1', usual, usual).why).toBe('');
    expect(beside('bulk-up-1', { ...usual, failures: 1 }, usual).why).toBe('too many failures');
  });

  it('is not compared with another number of idle flows', () => {
    const of = (flows: number): Partial<Values> => ({ flowBytes: 1_000, operations: flows, flows });
    expect(beside('idle-20000', of(19_500), of(19_500)).ratio?.pairs).toBe(8);
    expect(beside('idle-20000', of(19_500), of(9_750)).ratio).toBeUndefined();
  });
});

describe('the generator\'s part', () => {
  it.each([
    [{ clientWaitShare: 0.121 }, '30 %, 20 %; waited 12 %'], [{}, '30 %, 20 %'],
  ])('of %j is said', (values, text) => {
    const rows = rowsOf([system('relay'), ...runs('ping-1b-1', 'relay', 3, values)]);
    expect(rows.map(generatorText)).toEqual([text]);
  });
});

describe('what went wrong', () => {
  const fine: LoadReport = {
    seconds: 1, operations: 9, bytes: 9, bulkBytes: 0, failures: 0, corrupt: 0, late: 0,
    cpuSeconds: 0.1, busiest: 0.1, p50Us: 1, p90Us: 1, p99Us: 1, p999Us: 1, maxUs: 1,
    peersCpuSeconds: [], firstError: '',
  };

  it('counts operations that found no free flow', () => {
    expect(lossOf(fine)).toEqual({ failures: 0, corrupt: 0, firstError: '' });
    expect(lossOf({ ...fine, late: 7 }))
      .toEqual({ failures: 7, corrupt: 0, firstError: '7 operations found no free flow' });
  });

  it('adds several reports up, and tells the first error', () => {
    expect(lossOf(fine, { ...fine, failures: 2, corrupt: 1, late: 3, firstError: 'corrupt bytes' },
      { ...fine, failures: 1, firstError: 'recv' }))
      .toEqual({ failures: 6, corrupt: 1, firstError: 'corrupt bytes' });
  });
});
