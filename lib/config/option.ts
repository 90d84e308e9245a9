/** One setting: everything that a command line, a document or an error says about it. */
export interface Option<Value> {
  readonly default: Value;
  readonly env: string;
  /** One line, without a full stop. */
  readonly doc: string;
  /** The flag's argument as `--help` shows it, such as `MS`; '' for switches. */
  readonly argument: string;
  /** What is accepted, for documents and errors. */
  readonly bound: string;
  /** undefined when the text is not accepted. */
  parse(text: string): Value | undefined;
  format(value: Value): string;
}

interface Said<Value> {
  readonly default: Value;
  readonly env: string;
  readonly doc: string;
}

export function textOption(
  said: Said<string> & { argument: string; bound?: string },
): Option<string> {
  return { bound: 'text', ...said, parse: (text) => text, format: (value) => value };
}

export function integerOption(
  said: Said<number> & { argument?: string; least: number; most: number },
): Option<number> {
  const { least, most } = said;
  return {
    argument: 'N', ...said,
    bound: `a whole number from ${least} to ${most}`,
    parse: (text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
      return value >= least && value <= most ? value : undefined;
    },
    format: String,
  };
}

export function booleanOption(said: Said<boolean>): Option<boolean> {
  return {
    ...said,
    argument: '',
    bound: 'true or false',
    parse: (text) => text === 'true' ? true : text === 'false' ? false : undefined,
    format: String,
  };
}

export function choiceOption<const Value extends string>(
  said: Said<NoInfer<Value>> & { choices: readonly Value[]; argument?: string },
): Option<Value> {
  const { choices } = said;
  return {
    argument: choices.join('|'), ...said,
    bound: `one of ${choices.join(', ')}`,
    parse: (text) => choices.find((choice) => choice === text),
    format: (value) => value,
  };
}

const durationUnits: readonly (readonly [string, number])[] = [
  ['d', 86_400_000], ['h', 3_600_000], ['m', 60_000], ['s', 1_000], ['ms', 1],
];

/** Milliseconds of `1m30s` and the like; undefined when it is none. A bare 0 is a duration. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^(\d{1,9}(\.\d{1,3})?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(ms|s|m|h|d)/g)) {
    sum += Number(amount) * (durationUnits.find(([name]) => name === unit)?.[1] ?? NaN);
  }
  return Number.isSafeInteger(Math.round(sum)) ? Math.round(sum) : undefined;
}

/** The largest unit that leaves a whole number. */
export function formatDuration(ms: number): string {
  const [name, size] = durationUnits.find(([, unit]) => ms % unit === 0) ?? ['ms', 1];
  return ms === 0 ? '0' : `${ms / size}${name}`;
}

/** In milliseconds. */
export function durationOption(
  said: Said<number> & { least: number; most: number },
): Option<number> {
  const { least, most } = said;
  return {
    ...said,
    argument: 'TIME',
    bound: `a duration such as 500ms, 30s or 5m, from ${formatDuration(least)} to `
      + formatDuration(most),
    parse: (text) => {
      const value = parseDuration(text);
      return value !== undefined && value >= least && value <= most ? value : undefined;
    },
    format: formatDuration,
  };
}

const byteUnits: readonly (readonly [string, number])[] = [
  ['Gi', 2 ** 30], ['Mi', 2 ** 20], ['Ki', 2 ** 10], ['', 1],
];

/** In bytes. */
export function bytesOption(said: Said<number> & { least: number; most: number }): Option<number> {
  const { least, most } = said;
  const format = (value: number): string => {
    const [name, size] = byteUnits.find(([, unit]) => value % unit === 0) ?? ['', 1];
    return value === 0 ? '0' : `${value / size}${name}`;
  };
  return {
    ...said,
    argument: 'BYTES',
    bound: `bytes such as 65536, 64Ki or 4Mi, from ${format(least)} to ${format(most)}`,
    parse: (text) => {
      const [, digits, unit] = /^(\d{1,15})(|Ki|Mi|Gi)$/.exec(text) ?? [];
      const value = Number(digits) * (byteUnits.find(([name]) => name === unit)?.[1] ?? NaN);
      return value >= least && value <= most ? value : undefined;
    },
    format,
  };
}
