import { OnehopError } from '../base/error.js';
import type { Option } from './option.js';

export type OptionTable = Readonly<Record<string, Option<unknown>>>;

export type Values<Table extends OptionTable> = {
  -readonly [Name in keyof Table]: Table[Name] extends Option<infer Value> ? Value : never;
};

export type Origin = 'default' | 'environment' | 'flag';

export interface ConfigProblem {
  /** The flag or variable as written by the user, such as `--shards` or `ONEHOP_SHARDS`. */
  readonly name: string;
  readonly value: string;
  readonly message: string;
}

/** Options that cannot be used; `message` has a line for each. */
export class ConfigError extends OnehopError {
  constructor(readonly problems: readonly ConfigProblem[]) {
    super('ERR_ONEHOP_CONFIG', problems.map((problem) => problem.message).join('\n'));
  }
}

export interface ReadConfig<Table extends OptionTable> {
  readonly values: Values<Table>;
  readonly origins: Readonly<Record<keyof Table, Origin>>;
}

/** `poolIdle` is `--pool-idle`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/**
 * A flag wins over the environment, the environment over the default. Empty variables count as
 * unset. `flags` are by option name: text as typed, or the value itself from a program. Throws one
 * ConfigError with every problem there is.
 */
export function readConfig<Table extends OptionTable>(
  table: Table, flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
): ReadConfig<Table> {
  const values: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  const problems: ConfigProblem[] = [];
  for (const [name, option] of Object.entries(table)) {
    const flag = flags[name];
    const variable = env[option.env] ?? '';
    if (flag !== undefined) {
      values[name] = parsed(option, flagOf(name), flag, problems);
      origins[name] = 'flag';
    } else if (variable !== '') {
      values[name] = parsed(option, option.env, variable, problems);
      origins[name] = 'environment';
    } else {
      values[name] = option.default;
      origins[name] = 'default';
    }
  }
  for (const name of Object.keys(flags)) {
    if (Object.hasOwn(table, name)) continue;
    const message = `${name}: there is no such option`;
    problems.push({ name, value: String(flags[name]), message });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { values: values as Values<Table>, origins: origins as Record<keyof Table, Origin> };
}

function parsed(
  option: Option<unknown>, name: string, given: unknown, problems: ConfigProblem[],
): unknown {
  const text = typeof given === 'string' ? given : option.format(given);
  const value = option.parse(text);
  if (value !== undefined) return value;
  problems.push({
    name, value: text, message: `${name}: ${JSON.stringify(text)} is not ${option.bound}`,
  });
  return undefined;
}

/** What `--help` says: the line, the default, the variable and what is accepted. */
export function helpOf(option: Option<unknown>): string {
  const value = option.format(option.default);
  const said = value === '' ? '' : `default ${value}; `;
  return `${option.doc} (${said}${option.env}; ${option.bound})`;
}
