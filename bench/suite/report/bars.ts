import type { CustomSeriesRenderItemAPI, CustomSeriesRenderItemParams } from 'echarts';

import type { Spread } from '../statistics.js';
import type { Metric, Row, RowMetric } from '../table.js';
import { comparedIn } from './compare.js';
import { tones, toneOf } from './palette.js';
import type { Figure } from './plotter.js';
import { axisOf, scaleOf, type Scale } from './scale.js';
import { barStyle, whisker, words } from './shapes.js';
import { metricText, notesOf, ratioText, shorten, tagOf, valueText, verdictOf,
  type Verdict } from './words.js';
import { plainText } from './xml.js';

const size = {
  width: 1160, names: 132, plot: 212, value: 58, gap: 22,
  row: 20, head: 32, axis: 24, below: 14,
} as const;
const panelsPerLine = 2;
/** Where the columns of ratios end, from that of the medians on; the tables have all ratios. */
const ratioEnds = [66, 172] as const;
const ratiosWidth = ratioEnds[1];
const verdictTones: Readonly<Record<Verdict, string>> = {
  better: tones.better.light, worse: tones.worse.light, open: tones.soft.light,
};

interface Panel {
  readonly metric: Metric;
  readonly left: number;
  readonly top: number;
  readonly isFirstOfLine: boolean;
  readonly isFirst: boolean;
  /** Names of the comparisons that have a column. */
  readonly compared: readonly string[];
}

/** Bar from zero, or a dot where there is no zero; hollow when the row is void. */
function shapes(spread: Spread, scale: Scale, row: Row, y: number, x: (value: number) => number):
object[] {
  const colour = toneOf(row.system).light;
  const style = barStyle(row.system, row.void !== '');
  const middle = x(spread.median);
  const shape = scale.logarithmic
    ? { type: 'circle', shape: { cx: middle, cy: y, r: 4.5 }, style, silent: true }
    : { type: 'rect', silent: true, style,
      shape: { x: x(0), y: y - 6, width: Math.max(middle - x(0), 0.5), height: 12 } };
  const line = spread.count > 1
    ? [whisker(x(spread.least), x(spread.most), y,
      scale.logarithmic ? colour : tones.ink.light)] : [];
  return spread.median > 0 ? [shape, ...line] : [];
}

function numbers(found: RowMetric, { left, compared }: Panel, y: number): object[] {
  const { metric, spread, ratios } = found;
  const valueAt = left + size.plot + size.value;
  return [
    words({ x: valueAt, y, text: valueText(spread, metric), fill: tones.ink.light,
      align: 'right' }),
    ...compared.flatMap((name, index) => {
      const ratio = ratios[name];
      if (ratio === undefined) return [];
      const x = valueAt + (ratioEnds[index] ?? ratiosWidth);
      return [words({ x, y, text: ratioText(ratio), fill: verdictTones[verdictOf(ratio, metric)],
        bold: ratio.mark === 'differs', align: 'right' })];
    }),
  ];
}

function whyNothing(row: Row): string {
  const [note = 'not measured'] = row.metrics.length > 0 ? [] : notesOf(row);
  return shorten(note, 76);
}

function rowShapes(row: Row, panel: Panel, scale: Scale, y: number, x: (value: number) => number):
object[] {
  const found = row.metrics.find(({ metric }) => metric.key === panel.metric.key);
  const scaled = (value: number): number => x(value / panel.metric.scale);
  const parts = found === undefined ? []
    : [...shapes(found.spread, scale, row, y, scaled), ...numbers(found, panel, y)];
  if (found === undefined && (panel.isFirstOfLine || row.metrics.length > 0)) {
    parts.push(words({ x: panel.left + 6, y, text: whyNothing(row), fontSize: 11.5,
      fill: row.error === '' ? tones.soft.light : tones.worse.light }));
  }
  if (panel.isFirst) {
    parts.push(words({ x: size.width - 4, y, text: shorten(tagOf(row), 18), bold: true,
      fill: tones.warning.light, align: 'right', fontSize: 11.5 }));
  }
  return parts;
}

function headOf({ metric, left, top, compared }: Panel, isVoidShown: boolean): object[] {
  const y = top - 12;
  const valueAt = left + size.plot + size.value;
  const want = metric.better === 'more' ? 'more is better' : 'less is better';
  const small = { y, fill: tones.soft.light, fontSize: 11, align: 'right' } as const;
  return [
    words({ x: left, y, text: metricText(metric), fill: tones.ink.light, bold: true }),
    words({ ...small, x: left + size.plot, text: want }),
    words({ ...small, x: valueAt, text: 'median' }),
    ...compared.map((name, index) =>
      words({ ...small, x: valueAt + (ratioEnds[index] ?? ratiosWidth), text: `÷ ${name}` })),
    ...isVoidShown ? [words({ ...small, x: size.width - 4, text: 'beware' })] : [],
  ];
}

function seriesOf(rows: readonly Row[], panel: Panel, scale: Scale, index: number): object {
  return {
    type: 'custom', xAxisIndex: index, yAxisIndex: index, silent: true, clip: false,
    data: rows.map((_, at) => [scale.axis.min, at]),
    renderItem: ({ dataIndex }: CustomSeriesRenderItemParams, api: CustomSeriesRenderItemAPI) => {
      const row = rows[dataIndex];
      const place = (value: number): number => api.coord([scale.at(value), dataIndex])[0] ?? 0;
      const y = api.coord([scale.axis.min, dataIndex])[1] ?? 0;
      return row === undefined ? undefined
        : { type: 'group', children: rowShapes(row, panel, scale, y, place) };
    },
  };
}

function panelsOf(metrics: readonly Metric[], compared: readonly string[], height: number):
Panel[] {
  const width = size.plot + size.value + ratiosWidth + size.gap;
  return metrics.map((metric, index) => {
    const line = Math.floor(index / panelsPerLine);
    return {
      metric, left: size.names + (index % panelsPerLine) * width,
      top: size.head + line * (height + size.head + size.axis + size.below),
      isFirstOfLine: index % panelsPerLine === 0, isFirst: index === 0, compared,
    };
  });
}

/** Every system in one workload: a panel per metric with medians, spreads and ratios. */
export function barFigure(title: string, metrics: readonly Metric[], rows: readonly Row[]): Figure {
  const height = rows.length * size.row;
  const panels = panelsOf(metrics, comparedIn(rows).slice(0, ratioEnds.length), height);
  const colours = { line: tones.line.light, soft: tones.soft.light };
  const scales = panels.map(({ metric }) => scaleOf(rows.flatMap((row) =>
    row.metrics.filter((one) => one.metric.key === metric.key).flatMap(({ spread }) =>
      [spread.least, spread.median, spread.most].map((value) => value / metric.scale)))));
  const tagged = rows.some((row) => tagOf(row) !== '');
  return {
    title, width: size.width,
    height: (panels.at(-1)?.top ?? 0) + height + size.axis + 4,
    option: {
      grid: panels.map(({ left, top }) => ({ left, top, width: size.plot, height })),
      xAxis: panels.map((_, index) => ({
        gridIndex: index, ...axisOf(scales[index] ?? scaleOf([]), colours),
      })),
      yAxis: panels.map((panel, index) => ({
        gridIndex: index, type: 'category', inverse: true,
        data: rows.map(({ system }) => plainText(system)), axisTick: { show: false },
        axisLine: { onZero: false, lineStyle: { color: tones.axis.light } },
        axisLabel: { show: panel.isFirstOfLine, color: tones.ink.light, fontSize: 12, interval: 0,
          margin: 8 },
      })),
      series: panels.map((panel, index) =>
        seriesOf(rows, panel, scales[index] ?? scaleOf([]), index)),
      graphic: panels.flatMap((panel) => headOf(panel, tagged && panel.isFirst)),
    },
  };
}
