import { OnehopError } from '../index.js';

/** 0: done. 1: it failed. 2: usage or configuration. Others: as a shell gives them. */
export type ExitCode = number;

/** What the user can correct before trying again: files, flags, addresses. */
export class UsageError extends Error {}

const usageCodes = new Set(['ERR_ONEHOP_CONFIG', 'ERR_ONEHOP_MESH_FILE']);

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return 2;
  const { code, cause } = Object(error) as { code?: unknown; cause?: { code?: unknown } };
  // An address that is taken may be free the next time; any other failure is the address's own.
  if (code === 'ERR_ONEHOP_LISTEN') return cause?.code === 'EADDRINUSE' ? 1 : 2;
  return typeof code === 'string' && usageCodes.has(code) ? 2 : 1;
}

/** Colours are for people: a terminal, and nobody said no. https://no-color.org */
export function usesColor(stream: { isTTY?: boolean }): boolean {
  return stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === ''
    && process.env['TERM'] !== 'dumb';
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function complain(error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  process.stderr.write(`onehop: ${text}\n`);
  if (error instanceof OnehopError || error instanceof UsageError) return;
  if (process.env['ONEHOP_DEBUG'] && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}

/** A pipe whose reader went away ends the command quietly, as with other tools. */
export function tolerateClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}
