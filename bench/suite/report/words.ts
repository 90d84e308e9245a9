import { formatNumber } from '../markdown.js';
import type { Mark, Ratio, Spread } from '../statistics.js';
import type { Metric, Row } from '../table.js';

export function metricText({ title, unit }: Metric): string {
  return unit === '' ? title : `${title}, ${unit}`;
}

export function valueText(spread: Spread, { scale }: Metric): string {
  return formatNumber(spread.median / scale);
}

export function spreadText({ median, least, most, count }: Spread, { scale }: Metric): string {
  const of = (value: number): string => formatNumber(value / scale);
  return count === 1 ? of(median) : `${of(median)} (${of(least)}–${of(most)})`;
}

/** `12.3`, `1.23`, `0.123`: as far as a ratio is worth. */
export function ratioNumber(ratio: number): string {
  return ratio >= 99.5 ? ratio.toFixed(0) : ratio >= 9.95 ? ratio.toFixed(1)
    : ratio >= 0.0995 ? ratio.toFixed(2) : ratio.toPrecision(2);
}

/** With the sign of its mark, as in the tables: (…) claims nothing, = may be equal. */
export function ratioText({ ratio, mark }: Ratio): string {
  const text = `${ratioNumber(ratio)}×`;
  return mark === 'none' ? `(${text})` : mark === 'same' ? `${text} =` : text;
}

export function intervalText({ interval }: Ratio): string {
  return interval === undefined ? '' : `[${interval.map(ratioNumber).join('–')}]`;
}

export const markWords: Readonly<Record<Mark, string>> = {
  differs: 'established', same: 'no difference established', none: 'too few rounds: no claim',
};

export type Verdict = 'better' | 'worse' | 'open';

/** Whether a ratio is for certain on the good or on the bad side. */
export function verdictOf({ ratio, mark }: Ratio, { better }: Metric): Verdict {
  if (mark !== 'differs') return 'open';
  return (ratio > 1) === (better === 'more') ? 'better' : 'worse';
}

/** What has to be known before a row is believed, whole sentences' worth each. */
export function notesOf(row: Row): string[] {
  return [
    row.absent === '' ? '' : `absent: ${row.absent}`,
    row.error === '' ? '' : row.metrics.length === 0 ? `failed: ${row.error}`
      : `some rounds failed: ${row.error}`,
    row.failures === 0 ? '' : `${row.failures.toLocaleString('en')} failures`,
    row.corrupt === 0 ? '' : `${row.corrupt.toLocaleString('en')} corrupt`,
    row.void === '' ? '' : `void: ${row.void}`,
  ].filter((text) => text !== '').map((text) => text.replace(/\s+/g, ' '));
}

/** The same in a word or two, for a plot. */
export function tagOf(row: Row): string {
  return [
    row.void === '' ? '' : 'void',
    row.corrupt === 0 ? '' : `${row.corrupt.toLocaleString('en')} corrupt`,
    row.failures === 0 ? '' : `${row.failures.toLocaleString('en')} failed`,
    row.error === '' || row.metrics.length === 0 ? '' : 'rounds failed',
  ].filter((text) => text !== '').join(', ');
}

export const shorten = (text: string, charsMax: number): string =>
  text.length <= charsMax ? text : `${text.slice(0, charsMax - 1)}…`;
