/** Scales of plots: from zero, or logarithmic where the values are far apart. */

/** From here on a linear scale would hide the small ones. */
const logarithmicFrom = 25;

export interface Scale {
  readonly logarithmic: boolean;
  /** A value's place on the axis, which itself is always linear. */
  at(value: number): number;
  /** For the axis of the plotting library. */
  readonly axis: {
    readonly min: number;
    readonly max: number;
    readonly ticks: readonly number[];
    readonly labels: ReadonlyMap<number, string>;
  };
}

/** Short: 250, 1.5k, 20k, 3M, 0.05. */
export function formatTick(value: number): string {
  const [unit, scale] = value >= 1e6 ? ['M', 1e6] as const : value >= 1e3 ? ['k', 1e3] as const
    : ['', 1] as const;
  return `${Number((value / scale).toPrecision(3))}${unit}`;
}

function linear(most: number): Scale {
  const rough = (most > 0 ? most : 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const count = Math.ceil((most > 0 ? most : 1) / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, index) =>
    Number((index * step).toPrecision(12)));
  return {
    logarithmic: false, at: (value) => value,
    axis: {
      min: 0, max: ticks.at(-1) ?? 1, ticks,
      labels: new Map(ticks.map((tick) => [tick, formatTick(tick)])),
    },
  };
}

function logarithmic(least: number, most: number): Scale {
  const at = (value: number): number => Math.log10(Math.max(value, least / 2));
  const wide = Math.log10(most / least) > 2.2;
  const candidates: number[] = [];
  for (let power = Math.floor(Math.log10(least)) - 1; power <= Math.log10(most) + 1; power += 1) {
    for (const factor of wide ? [1] : [1, 3]) candidates.push(factor * 10 ** power);
  }
  const first = candidates.findLast((tick) => tick <= least * 1.001) ?? least;
  const last = candidates.find((tick) => tick >= most * 0.999) ?? most;
  const shown = candidates.filter((tick) => tick >= first && tick <= last);
  const ticks = shown.map((tick) => Number(Math.log10(tick).toPrecision(12)));
  return {
    logarithmic: true, at,
    axis: {
      min: ticks[0] ?? 0, max: ticks.at(-1) ?? 1, ticks,
      labels: new Map(ticks.map((tick, index) => [tick, formatTick(shown[index] ?? 0)])),
    },
  };
}

/** Values of zero or less are at the edge of a logarithmic scale. */
export function scaleOf(values: readonly number[]): Scale {
  const positive = values.filter((value) => value > 0 && Number.isFinite(value));
  const least = Math.min(...positive);
  const most = Math.max(...positive);
  return positive.length > 0 && most / least > logarithmicFrom ? logarithmic(least, most)
    : linear(positive.length > 0 ? most : 1);
}

/** Options of a value axis that shows the scale; the caller says where it is. */
export function axisOf({ axis }: Scale, colours: { line: string; soft: string }): object {
  const values = { customValues: [...axis.ticks] };
  return {
    type: 'value', min: axis.min, max: axis.max,
    axisLine: { show: false }, axisTick: { ...values, show: false },
    splitLine: { ...values, show: true, lineStyle: { color: colours.line, width: 1 } },
    axisLabel: {
      ...values, color: colours.soft, fontSize: 10.5, margin: 6, hideOverlap: true,
      formatter: (tick: number) => axis.labels.get(Number(tick.toPrecision(12))) ?? '',
    },
  };
}
