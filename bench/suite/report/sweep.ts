import type { CustomSeriesRenderItemAPI, CustomSeriesRenderItemParams } from 'echarts';

import { metricsOf, type Metric } from '../table.js';
import type { Workload } from '../workloads.js';
import { spreadIn, type Place } from './compare.js';
import { tones, toneOf } from './palette.js';
import type { Figure } from './plotter.js';
import { axisOf, scaleOf, type Scale } from './scale.js';
import { whisker, words } from './shapes.js';
import { metricText } from './words.js';
import { plainText } from './xml.js';

/** Workloads that differ in one number only. */
export interface Family {
  /** The number's name. */
  readonly parameter: string;
  /** In rising order. */
  readonly places: readonly Place[];
  readonly values: readonly number[];
}

/** Numbers whose course tells something; bytes of a message are a kind of load, not its amount. */
const parameters = ['flows', 'shards', 'policies', 'rate', 'identities', 'bulkFlows'];
const incidental = ['name', 'title', 'quick', 'fresh', 'warmupMin', 'secondsMax', 'halfOf'];

function keyWithout(workload: Workload, parameter: string): string {
  const left = Object.entries({ ...workload }).filter(([key]) =>
    key !== parameter && !incidental.includes(key));
  return JSON.stringify([...left.sort(([a], [b]) => a < b ? -1 : 1),
    'halfOf' in workload && workload.halfOf !== undefined]);
}

/** In the order of the places. */
export function familiesOf(places: readonly Place[]): Family[] {
  return parameters.flatMap((parameter) => {
    const found = new Map<string, Place[]>();
    for (const place of places) {
      const key = `${place.layout} ${keyWithout(place.workload, parameter)}`;
      found.set(key, [...found.get(key) ?? [], place]);
    }
    return [...found.values()].flatMap((of): Family[] => {
      const numbered = of.flatMap((place) => {
        const value = ({ ...place.workload } as Record<string, unknown>)[parameter];
        return typeof value === 'number' ? [{ place, value }] : [];
      }).sort((a, b) => a.value - b.value);
      if (new Set(numbered.map(({ value }) => value)).size < 2) return [];
      return [{
        parameter, places: numbered.map(({ place }) => place),
        values: numbered.map(({ value }) => value),
      }];
    });
  });
}

/** What their titles have in common, `…` where they differ. */
export function familyTitle({ parameter, places, values }: Family): string {
  const titles = places.map(({ workload }) => workload.title.split(' '));
  const [first = []] = titles;
  const equal = (at: number, from: 1 | -1): boolean => titles.every((title) =>
    title.at(from * at) !== undefined && title.at(from * at) === first.at(from * at));
  let before = 0;
  while (before < first.length && equal(before, 1)) before += 1;
  let after = 0;
  while (before + after < first.length && equal(after + 1, -1)) after += 1;
  const common = [...first.slice(0, before), '…', ...first.slice(first.length - after)].join(' ');
  const shown = values.map((value) => value.toLocaleString('en'));
  return `${common} by ${parameter}: ${shown.join(', ')}`;
}

const size = { width: 1160, left: 58, plot: 392, names: 116, gap: 28, head: 34, height: 210,
  axis: 44 } as const;
const panelsPerLine = 2;

interface Panel {
  readonly metric: Metric;
  readonly scale: Scale;
  readonly left: number;
  readonly top: number;
}

const systemsOf = ({ places }: Family): string[] =>
  [...new Set(places.flatMap(({ rows }) => rows.filter(({ metrics }) => metrics.length > 0)
    .map(({ system }) => system)))];

const isVoid = (place: Place | undefined, system: string): boolean =>
  place?.rows.find((row) => row.system === system)?.void !== '';

/** Names at the right end of their lines, pushed apart. */
function namesAt(ends: readonly { system: string; y: number }[], top: number, bottom: number):
{ system: string; y: number }[] {
  const apart = 13;
  const sorted = [...ends].sort((a, b) => a.y - b.y);
  const placed: { system: string; y: number }[] = [];
  for (const { system, y } of sorted) {
    placed.push({ system, y: Math.max(y, (placed.at(-1)?.y ?? top - apart) + apart) });
  }
  let floor = bottom + apart;
  return placed.reverse().map(({ system, y }) => {
    floor = Math.min(y, floor - apart);
    return { system, y: floor };
  });
}

function lineShapes(family: Family, { metric, scale, left, top }: Panel,
  api: CustomSeriesRenderItemAPI): object[] {
  const systems = systemsOf(family);
  const ends: { system: string; y: number }[] = [];
  const right = left + size.plot;
  const parts = systems.flatMap((system, index) => {
    const colour = toneOf(system).light;
    const shift = (index - (systems.length - 1) / 2) * Math.min(3, 24 / systems.length);
    const points = family.places.flatMap((place, at) => {
      const spread = spreadIn(place, system, metric);
      if (spread === undefined || !(spread.median > 0)) return [];
      const y = (value: number): number =>
        api.coord([at, scale.at(value / metric.scale)])[1] ?? 0;
      return [{ place, x: (api.coord([at, 0])[0] ?? 0) + shift, y: y(spread.median),
        from: y(spread.least), to: y(spread.most) }];
    });
    const last = points.at(-1);
    if (last !== undefined) ends.push({ system, y: last.y });
    return [
      { type: 'polyline', silent: true, shape: { points: points.map(({ x, y }) => [x, y]) },
        style: { fill: 'none', stroke: colour, lineWidth: system === 'hbone' ? 2.5 : 1.5 } },
      ...points.flatMap(({ place, x, y, from, to }) => [
        whisker(from, to, x, colour, true),
        { type: 'circle', silent: true, shape: { cx: x, cy: y, r: 3.5 },
          style: isVoid(place, system)
            ? { fill: tones.paper.light, stroke: colour, lineWidth: 1.5 } : { fill: colour } },
      ]),
    ];
  });
  return [...parts, ...namesAt(ends, top, top + size.height).map(({ system, y }) =>
    words({ x: right + 4, y, text: system, fill: toneOf(system).light, fontSize: 11.5,
      bold: system === 'hbone' }))];
}

function panelsOf(family: Family, metrics: readonly Metric[]): Panel[] {
  const width = size.left + size.plot + size.names + size.gap;
  return metrics.map((metric, index) => ({
    metric,
    scale: scaleOf(family.places.flatMap((place) => systemsOf(family).flatMap((system) => {
      const spread = spreadIn(place, system, metric);
      return spread === undefined ? [] : [spread.least, spread.median, spread.most]
        .map((value) => value / metric.scale);
    }))),
    left: size.left + (index % panelsPerLine) * width,
    top: size.head + Math.floor(index / panelsPerLine) * (size.height + size.head + size.axis),
  }));
}

/** A panel per metric: how it goes as the family's number grows. Hollow points are of void rows. */
export function sweepFigure(title: string, family: Family): Figure | undefined {
  const [first] = family.places;
  if (first === undefined) return undefined;
  const metrics = metricsOf[first.workload.kind].filter((metric) => family.places.some((place) =>
    systemsOf(family).some((system) => (spreadIn(place, system, metric)?.median ?? 0) > 0)));
  const panels = panelsOf(family, metrics);
  if (panels.length === 0) return undefined;
  const colours = { line: tones.line.light, soft: tones.soft.light };
  return {
    title, width: size.width, height: (panels.at(-1)?.top ?? 0) + size.height + size.axis,
    option: {
      grid: panels.map(({ left, top }) =>
        ({ left, top, width: size.plot, height: size.height })),
      xAxis: panels.map((_, gridIndex) => ({
        gridIndex, type: 'category', name: plainText(family.parameter), nameLocation: 'middle',
        nameGap: 26, nameTextStyle: { color: tones.soft.light, fontSize: 11 },
        data: family.values.map((value) => value.toLocaleString('en')),
        axisTick: { show: false },
        axisLine: { onZero: false, lineStyle: { color: tones.axis.light } },
        axisLabel: { color: tones.soft.light, fontSize: 11, interval: 0 },
      })),
      yAxis: panels.map(({ scale }, gridIndex) => ({ gridIndex, ...axisOf(scale, colours) })),
      series: panels.map((panel, index) => ({
        type: 'custom', xAxisIndex: index, yAxisIndex: index, silent: true, clip: false,
        data: [[0, panel.scale.axis.min]],
        renderItem: (_: CustomSeriesRenderItemParams, api: CustomSeriesRenderItemAPI) =>
          ({ type: 'group', children: lineShapes(family, panel, api) }),
      })),
      graphic: panels.map(({ metric, left, top, scale }) =>
        words({ x: left - size.left + 6, y: top - 18, fill: tones.ink.light, bold: true,
          text: `${metricText(metric)}${scale.logarithmic ? ' (logarithmic)' : ''}` })),
    },
  };
}
