import pino, { type Logger } from 'pino';

export type LogFormat = 'text' | 'json';
export const logLevels = ['off', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Where lines go; each ends in a newline. `pino.destination` is one. */
export interface LogStream {
  write(line: string): boolean | void;
  flush?(done: (error?: Error) => void): void;
  on?(event: string, listener: () => void): unknown;
}

export interface LogOptions {
  format: LogFormat;
  level: LogLevel;
  /** A file descriptor or a stream; default: standard output. */
  to?: number | LogStream;
  /** Colours in the text format. */
  color?: boolean;
  /** The level was changed. */
  onLevel?: () => void;
}

/** Characters waiting for a slow reader; a line that finds more waiting is dropped. */
const waitingCharsMax = 4 << 20;
const flushMsMax = 1_000;

const levelColors: Readonly<Record<string, string>> = {
  error: '\u001b[31m', warn: '\u001b[33m', info: '\u001b[32m', debug: '\u001b[34m',
};

/** `time  level  scope  message  k=v …`, separated by tabs; text values are quoted. */
export function formatText(line: string, color: boolean): string {
  const { time, level, scope, message, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const shown = String(level);
  const paint = color ? levelColors[shown] : undefined;
  const head = [
    String(time), paint === undefined ? shown : `${paint}${shown}\u001b[0m`, String(scope ?? ''),
    // A message has one line, whatever is in it.
    String(message).replaceAll('\n', ' '),
  ];
  return `${head.join('\t')}${pairs.length > 0 ? `\t${pairs.join(' ')}` : ''}\n`;
}

/**
 * The log of a role: one line per event, as text or JSON. Writing never waits: while the reader is slow,
 * lines are kept up to a bound and then dropped and counted.
 */
export class Log {
  readonly #stream: LogStream;
  readonly #pino: Logger;
  readonly #children = new Map<string, Logger>();
  #dropped = 0;
  readonly #default: LogLevel;
  #level: LogLevel;
  readonly #onLevel: (() => void) | undefined;

  constructor(options: LogOptions) {
    const to = options.to ?? 1;
    this.#stream = typeof to !== 'number' ? to : pino.destination({
      dest: to, sync: false, maxLength: waitingCharsMax,
    }) as LogStream;
    this.#stream.on?.('drop', () => (this.#dropped += 1));
    // A reader that went away must not end the role.
    this.#stream.on?.('error', () => (this.#dropped += 1));
    const color = options.color ?? false;
    const destination = options.format === 'json' ? this.#stream
      : { write: (line: string) => void this.#stream.write(formatText(line, color)) };
    this.#default = options.level;
    this.#level = options.level;
    this.#onLevel = options.onLevel;
    this.#pino = pino({
      base: null, messageKey: 'message', level: pinoLevel(options.level),
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
    }, destination as pino.DestinationStream);
  }

  /** Lines lost because nobody read them in time. */
  get dropped(): number {
    return this.#dropped;
  }

  get level(): LogLevel {
    return this.#level;
  }

  setLevel(level: LogLevel): void {
    this.#level = level;
    this.#pino.level = pinoLevel(level);
    for (const child of this.#children.values()) child.level = pinoLevel(level);
    this.#onLevel?.();
  }

  resetLevel(): void {
    this.setLevel(this.#default);
  }

  isEnabled(level: Exclude<LogLevel, 'off'>): boolean {
    return this.#pino.isLevelEnabled(level);
  }

  /** `scope` names the room that speaks. Fields without a value are left out. */
  write(level: Exclude<LogLevel, 'off'>, scope: string, message: string, fields: LogFields = {}): void {
    let child = this.#children.get(scope);
    if (child === undefined) {
      child = this.#pino.child({ scope });
      this.#children.set(scope, child);
    }
    child[level](fields, message);
  }

  /** Resolves when all is written, or after a second. */
  flush(): Promise<void> {
    const { flush } = this.#stream;
    if (flush === undefined) return Promise.resolve();
    return new Promise((done) => {
      const timer = setTimeout(done, flushMsMax);
      flush.call(this.#stream, () => {
        clearTimeout(timer);
        done();
      });
    });
  }
}

function pinoLevel(level: LogLevel): string {
  return level === 'off' ? 'silent' : level;
}
