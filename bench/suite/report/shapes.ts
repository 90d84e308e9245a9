import { toneOf } from './palette.js';
import { fontFamily } from './plotter.js';
import { plainText } from './xml.js';

interface Words {
  readonly x: number;
  readonly y: number;
  readonly text: string;
  readonly fill: string;
  readonly align?: 'left' | 'right' | 'center';
  readonly bold?: boolean;
  readonly fontSize?: number;
}

export function words({ x, y, text, fill, align = 'left', bold = false, fontSize = 12 }: Words):
object {
  return {
    type: 'text', x, y, silent: true,
    style: {
      text: plainText(text), fill, textAlign: align, textVerticalAlign: 'middle', fontFamily,
      fontSize, fontWeight: bold ? 600 : 400,
    },
  };
}

/** A line from the least to the most with a stop at both ends. */
export function whisker(from: number, to: number, across: number, colour: string,
  upright = false): object {
  const stop = 3;
  const lines = [[from, across, to, across], [from, across - stop, from, across + stop],
    [to, across - stop, to, across + stop]] as const;
  return {
    type: 'group',
    children: lines.map(([x1, y1, x2, y2]) => ({
      type: 'line', silent: true,
      shape: upright ? { x1: y1, y1: x1, x2: y2, y2: x2 } : { x1, y1, x2, y2 },
      style: { stroke: colour, lineWidth: 1.25 },
    })),
  };
}

/** Of the system's colour; hollow when the row is void. */
export function barStyle(system: string, isVoid: boolean): object {
  const colour = toneOf(system).light;
  return isVoid ? { fill: 'none', stroke: colour, lineDash: [3, 2], lineWidth: 1.5 }
    : { fill: colour };
}
