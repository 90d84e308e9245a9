import type { CustomSeriesRenderItemAPI, CustomSeriesRenderItemParams } from 'echarts';

import type { MicroRow } from '../micro/sample.js';
import { durationOf } from '../micro/table.js';
import { tones, toneOf } from './palette.js';
import type { Figure } from './plotter.js';
import { axisOf, scaleOf } from './scale.js';
import { whisker, words } from './shapes.js';
import { nodeProxies } from './scenes.js';
import { shorten } from './words.js';
import { plainText } from './xml.js';

const size = { width: 1160, names: 330, plot: 560, row: 20, head: 8, axis: 26 } as const;

/** Medians of one operation in nanoseconds, with the middle half of the samples. */
export function microFigure(group: string, rows: readonly MicroRow[]): Figure {
  const scale = scaleOf(rows.flatMap(({ low, median, high }) => [low, median, high]));
  const colour = toneOf(nodeProxies).light;
  const height = rows.length * size.row;
  const shapes = (row: MicroRow, at: number, api: CustomSeriesRenderItemAPI): object[] => {
    const x = (value: number): number => api.coord([scale.at(value), at])[0] ?? 0;
    const y = api.coord([scale.axis.min, at])[1] ?? 0;
    const speed = row.bytes === undefined ? ''
      : `, ${(row.bytes / row.median).toPrecision(3)} GB/s`;
    return [
      whisker(x(row.low), x(row.high), y, colour),
      { type: 'circle', shape: { cx: x(row.median), cy: y, r: 4 }, style: { fill: colour } },
      words({ x: size.names + size.plot + 12, y, text: `${durationOf(row.median)}${speed}`,
        fill: tones.ink.light }),
    ];
  };
  return {
    title: `${group}: nanoseconds of one operation`, width: size.width,
    height: size.head + height + size.axis,
    option: {
      grid: { left: size.names, top: size.head, width: size.plot, height },
      xAxis: axisOf(scale, { line: tones.line.light, soft: tones.soft.light }),
      yAxis: {
        type: 'category', inverse: true, axisTick: { show: false },
        data: rows.map(({ name }) => plainText(shorten(name, 52))),
        axisLine: { onZero: false, lineStyle: { color: tones.axis.light } },
        axisLabel: { color: tones.ink.light, fontSize: 12, interval: 0 },
      },
      series: [{
        type: 'custom', silent: true, clip: false,
        data: rows.map((_, at) => [scale.axis.min, at]),
        renderItem: ({ dataIndex }: CustomSeriesRenderItemParams,
          api: CustomSeriesRenderItemAPI) => {
          const row = rows[dataIndex];
          return row === undefined ? undefined
            : { type: 'group', children: shapes(row, dataIndex, api) };
        },
      }],
    },
  };
}
