/** Medians, and intervals for ratios of measurements made in pairs. Nothing here assumes a normal law. */

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly count: number;
}

/** undefined without values. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined;
  return {
    median: median(values), least: Math.min(...values), most: Math.max(...values),
    count: values.length,
  };
}

/** The level of every interval. */
export const confidence = 0.95;

/**
 * How many of the smallest and largest Walsh averages of `count` pairs an interval of at least
 * `confidence` leaves out on each side: from the exact null distribution of Wilcoxon's signed-rank
 * statistic. -1 when so few pairs allow no such interval (below 6 at 95 %).
 */
export function walshTrim(count: number): number {
  // ways[s]: subsets of the ranks 1..count with sum s.
  let ways = [1];
  for (let rank = 1; rank <= count; rank += 1) {
    const next = Array.from({ length: ways.length + rank }, () => 0);
    ways.forEach((n, sum) => {
      next[sum] = (next[sum] ?? 0) + n;
      next[sum + rank] = (next[sum + rank] ?? 0) + n;
    });
    ways = next;
  }
  const tail = (1 - confidence) / 2 * 2 ** count;
  let below = 0;
  let trim = -1;
  for (const n of ways) {
    below += n;
    if (below > tail) break;
    trim += 1;
  }
  return trim;
}

export type Mark = 'differs' | 'same' | 'none';

/** The ratio of two systems, from rounds where both were measured. */
export interface Ratio {
  /** Hodges-Lehmann estimate; the median of the pairs' ratios when there are too few for an interval. */
  readonly ratio: number;
  /** `confidence` interval of the ratio; absent when the pairs are too few. */
  readonly interval?: readonly [number, number];
  /** `differs`: the interval is clear of 1. `none`: too few pairs to claim anything. */
  readonly mark: Mark;
  readonly pairs: number;
}

/** undefined without a pair; values are positive. */
export function pairedRatio(pairs: readonly (readonly [number, number])[]): Ratio | undefined {
  const logs = pairs.filter(([a, b]) => a > 0 && b > 0).map(([a, b]) => Math.log(a / b));
  if (logs.length === 0) return undefined;
  const walsh = logs.flatMap((a, i) => logs.slice(i).map((b) => (a + b) / 2))
    .sort((a, b) => a - b);
  const trim = walshTrim(logs.length);
  if (trim < 0) return { ratio: Math.exp(median(logs)), mark: 'none', pairs: logs.length };
  const low = Math.exp(walsh[trim] ?? NaN);
  const high = Math.exp(walsh[walsh.length - 1 - trim] ?? NaN);
  return {
    ratio: Math.exp(median(walsh)), interval: [low, high], pairs: logs.length,
    mark: low > 1 || high < 1 ? 'differs' : 'same',
  };
}
