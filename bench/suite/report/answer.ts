import type { Mark } from '../statistics.js';

/** A number to be read from afar. */
export interface Tile {
  readonly big: string;
  readonly caption: string;
  /** undefined: a measurement and no comparison. */
  readonly mark?: Mark;
}

export interface Answer {
  readonly question: string;
  readonly tiles: readonly Tile[];
  /** Plain language, with the numbers: what matters most. */
  readonly lead: readonly string[];
  /** The rest of it. */
  readonly more: readonly string[];
}

const leadMax = 2;

/** Sentences in the order of their weight. */
export function answerOf(question: string, tiles: readonly Tile[], sentences: readonly string[]):
Answer {
  return { question, tiles, lead: sentences.slice(0, leadMax), more: sentences.slice(leadMax) };
}
