import type { CustomSeriesRenderItemAPI, CustomSeriesRenderItemParams } from 'echarts';

import {
  compare, formOf, isMeasured, metricOf, obstacleOf, spreadIn, type Place,
} from './compare.js';
import type { Run } from './gather.js';
import { darkRules, tones, toneOf } from './palette.js';
import type { Figure, Plotter } from './plotter.js';
import { axisOf, scaleOf, type Scale } from './scale.js';
import { doubleHopOf, nodeProxies, sceneOf, type SceneName } from './scenes.js';
import { barStyle, whisker, words } from './shapes.js';
import { ratioText, shorten, valueText, verdictOf } from './words.js';
import { escapeXml, plainText } from './xml.js';

const size = { width: 920, column: 304, names: 112, plot: 84, ratio: 100, row: 19, head: 30,
  axis: 26, title: 62, foot: 40 } as const;

const names: Readonly<Record<string, string>> = {
  relay: 'plaintext relay', 'relay-epoll': 'plaintext relay', hbone: 'onehop (HBONE)',
  'envoy-sidecar': 'Envoy sidecars', 'envoy-l4': 'Envoy L4 mTLS', 'envoy-connect': 'Envoy HBONE',
};

interface Wanted {
  readonly scene: SceneName;
  readonly metric: string;
  readonly text: string;
}

/** Three columns of two. */
const wanted: readonly (readonly [Wanted, Wanted])[] = [
  [{ scene: 'http', metric: 'cpuUsPerOperation', text: 'HTTP: proxy CPU, µs per request' },
    { scene: 'http', metric: 'p99Us', text: 'HTTP: p99 latency, µs' }],
  [{ scene: 'bulk', metric: 'cpuSecondsPerGb', text: 'Bulk: proxy CPU, s per GB' },
    { scene: 'bulk', metric: 'throughput', text: 'Bulk: throughput, GB/s' }],
  [{ scene: 'ping', metric: 'cpuUsPerOperation', text: 'Ping-pong: proxy CPU, µs per message' },
    { scene: 'ping-one', metric: 'p50Us', text: 'Ping-pong, 1 flow: p50 latency, µs' }],
];

interface Panel {
  readonly run: Run;
  readonly wanted: Wanted;
  readonly place: Place;
  readonly systems: readonly string[];
  readonly scale: Scale;
  readonly left: number;
  readonly top: number;
}

/** The sidecars where they were measured, with the L4 form in their place where they cannot go. */
function systemsOf(run: Run, place: Place): string[] {
  const all = [formOf(run, place, 'relay'), nodeProxies, 'ztunnel', 'envoy-connect',
    doubleHopOf(place)];
  return [...new Set(all)].filter((system) => isMeasured(place, system)
    || system === nodeProxies || system === doubleHopOf(place));
}

function panelOf(run: Run, one: Wanted, left: number, top: number): Panel[] {
  const place = sceneOf(run, one.scene);
  const metric = place === undefined ? undefined : metricOf(place.workload, one.metric);
  if (place === undefined || metric === undefined) return [];
  const systems = systemsOf(run, place);
  const values = systems.flatMap((system) => {
    const spread = spreadIn(place, system, metric);
    return spread === undefined ? [] : [spread.median, spread.most];
  }).map((value) => value / metric.scale);
  if (values.length === 0) return [];
  // From zero always: here the eye compares lengths.
  const scale = scaleOf([Math.max(...values)]);
  return [{ run, wanted: one, place, systems, scale, left, top }];
}

function barShapes(panel: Panel, index: number, api: CustomSeriesRenderItemAPI): object[] {
  const { run, wanted: { metric: key }, place, systems, left } = panel;
  const system = systems[index] ?? '';
  const metric = metricOf(place.workload, key);
  const spread = metric === undefined ? undefined : spreadIn(place, system, metric);
  const y = api.coord([0, index])[1] ?? 0;
  if (metric === undefined || spread === undefined) {
    return [words({ x: left + size.names + 6, y, text: shorten(obstacleOf(place, system), 34),
      fill: tones.soft.light, fontSize: 10.5 })];
  }
  const at = (value: number): number => api.coord([value / metric.scale, index])[0] ?? 0;
  const isVoid = obstacleOf(place, system) !== '';
  const double = doubleHopOf(place);
  const isDouble = system === double;
  const { ratio } = compare(run, place, metric, system, double);
  const right = left + size.names + size.plot;
  const verdict = ratio === undefined ? 'open' : verdictOf(ratio, metric);
  return [
    { type: 'rect', style: barStyle(system, isVoid), silent: true,
      shape: { x: at(0), y: y - 6, width: Math.max(at(spread.median) - at(0), 0.5), height: 12 } },
    ...spread.count > 1 ? [whisker(at(spread.least), at(spread.most), y, tones.ink.light)] : [],
    words({ x: right + 46, y, text: valueText(spread, metric), fill: tones.ink.light,
      align: 'right', bold: system === nodeProxies }),
    ...isVoid ? [words({ x: right + size.ratio, y, text: 'void', align: 'right', bold: true,
      fill: tones.warning.light, fontSize: 11.5 })] : [],
    ...isDouble || ratio === undefined ? [] : [words({
      x: right + size.ratio, y, text: ratioText(ratio), align: 'right', fontSize: 11.5,
      fill: verdict === 'open' ? tones.soft.light : tones[verdict].light,
      bold: ratio.mark === 'differs',
    })],
  ];
}

function optionOf(panels: readonly Panel[], heads: readonly object[]): Figure['option'] {
  const colours = { line: tones.line.light, soft: tones.soft.light };
  return {
    backgroundColor: tones.paper.light,
    grid: panels.map(({ left, top, systems }) => ({ left: left + size.names, top,
      width: size.plot, height: systems.length * size.row })),
    xAxis: panels.map(({ scale }, gridIndex) => ({ gridIndex, ...axisOf(scale, colours),
      axisLabel: { show: false } })),
    yAxis: panels.map(({ systems }, gridIndex) => ({
      gridIndex, type: 'category', inverse: true, axisTick: { show: false },
      data: systems.map((system) => plainText(names[system] ?? system)),
      axisLine: { onZero: false, lineStyle: { color: tones.axis.light } },
      axisLabel: { color: tones.ink.light, fontSize: 11.5, interval: 0, margin: 7 },
    })),
    series: panels.map((panel, index) => ({
      type: 'custom', xAxisIndex: index, yAxisIndex: index, silent: true, clip: false,
      data: panel.systems.map((_, at) => [0, at]),
      renderItem: ({ dataIndex }: CustomSeriesRenderItemParams, api: CustomSeriesRenderItemAPI) =>
        ({ type: 'group', children: barShapes(panel, dataIndex, api) }),
    })),
    graphic: heads,
  };
}

function footOf({ setup }: Run, height: number): object[] {
  const text = setup === undefined ? [] : [
    `${setup.date.slice(0, 10)}; ${setup.commit === '' ? `onehop ${setup.onehop}`
      : `commit ${setup.commit}`}; ${setup.cpu}, ${setup.processors} processors; `
      + `Node ${setup.node}; median of ${setup.rounds} rounds, whiskers least to most`,
    'Bold: a difference that is established (95 % interval); =: none is; (…): too few rounds to '
      + 'claim any',
  ];
  return text.map((line, index) => words({ x: 16, y: height - 30 + index * 16, text: line,
    fill: tones.soft.light, fontSize: 10.5 }));
}

/** A load that was not measured is told in its place. */
function gapsOf(panels: readonly Panel[]): object[] {
  return wanted.flatMap(([{ text }], index) => {
    const left = index * size.column + 8;
    return panels.some((panel) => panel.left === left) ? []
      : [words({ x: left + 8, y: size.title + size.head - 12, fill: tones.soft.light,
        text: `${text.split(/[:,]/)[0] ?? ''}: not measured in this run` })];
  });
}

/** Undefined when none of its six panels was measured. */
export function summaryFigure(run: Run): Figure | undefined {
  const panels: Panel[] = [];
  let top = size.title;
  for (const line of [0, 1] as const) {
    const found = wanted.flatMap((column, index) =>
      panelOf(run, column[line], index * size.column + 8, top + size.head));
    panels.push(...found);
    if (found.length === 0) continue;
    const rowsMax = Math.max(...found.map(({ systems }) => systems.length));
    top += size.head + size.axis + rowsMax * size.row;
  }
  if (panels.length === 0) return undefined;
  const height = top + size.foot;
  const title = 'The sidecar double hop beside the node-proxy path';
  const heads = [
    words({ x: 16, y: 22, text: title, fill: tones.ink.light, bold: true, fontSize: 16 }),
    words({ x: 16, y: 43, fill: tones.soft.light, fontSize: 11.5,
      text: 'Coloured ratios are against the double hop: Envoy sidecars for HTTP, two Envoys with '
        + 'mTLS at L4 for bytes. Less is better, but for throughput.' }),
    ...panels.map(({ wanted: { text }, left, top: y }) =>
      words({ x: left + 8, y: y - 12, text, fill: tones.ink.light, bold: true })),
    ...gapsOf(panels),
    ...footOf(run, height),
  ];
  return { title, width: size.width, height, option: optionOf(panels, heads) };
}

/** A file of its own that turns dark with its reader, and brings its background along. */
export function summarySvg(run: Run, plot: Plotter): string | undefined {
  const figure = summaryFigure(run);
  if (figure === undefined) return undefined;
  const style = `@media (prefers-color-scheme: dark) {\n${darkRules('')}\n}`;
  return `${plot(figure).replace('</title>', `</title><style>${escapeXml(style)}</style>`)}\n`;
}
