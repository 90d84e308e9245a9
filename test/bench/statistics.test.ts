import { describe, expect, it } from 'vitest';

import { median, pairedRatio, spreadOf, walshTrim } from '../../bench/suite/statistics.js';

describe('the interval of paired ratios', () => {
  // Critical values of Wilcoxon's signed-rank test, two-sided, 5 %, as tables have them.
  it.each([[5, -1], [6, 0], [7, 2], [8, 3], [9, 5], [10, 8], [12, 13], [15, 25], [20, 52]])(
    'of %i pairs leaves %i Walsh averages out on each side', (pairs, trim) => {
      expect(walshTrim(pairs)).toBe(trim);
    });

  it('is not there for five pairs, and claims nothing', () => {
    const pairs = [2, 2, 2, 2, 2].map((value) => [value, 1] as const);
    expect(pairedRatio(pairs)).toEqual({ ratio: expect.closeTo(2, 12) as number, mark: 'none', pairs: 5 });
  });

  it('spans six pairs whole', () => {
    const found = pairedRatio([1, 2, 4, 8, 16, 32].map((value) => [value * 3, 3] as const));
    expect(found?.interval?.[0]).toBeCloseTo(1, 12);
    expect(found?.interval?.[1]).toBeCloseTo(32, 12);
    expect(found?.ratio).toBeCloseTo(Math.sqrt(32), 12);
    expect(found?.mark).toBe('same');
  });

  it('differs when it is clear of one', () => {
    const up = [1.1, 1.2, 1.15, 1.3, 1.12, 1.2];
    expect(pairedRatio(up.map((value) => [value, 1] as const))?.mark).toBe('differs');
    expect(pairedRatio(up.map((value) => [1, value] as const))?.mark).toBe('differs');
    expect(pairedRatio([...up.slice(1), 0.9].map((value) => [value, 1] as const))?.mark).toBe('same');
  });

  it('leaves out pairs that are no ratio', () => {
    expect(pairedRatio([[0, 1], [1, 0]])).toBeUndefined();
    expect(pairedRatio([[0, 1], [3, 1]])).toMatchObject({ pairs: 1 });
  });
});

describe('a spread', () => {
  it('has the middle, or the mean of both middles', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([9, 1, 5, 7])).toBe(6);
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3, count: 3 });
    expect(spreadOf([])).toBeUndefined();
  });
});
