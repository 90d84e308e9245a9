import { Absent, loadMicroAddon, type MicroAddon } from './addon.js';
import { measureNative, nativeCases } from './native_cases.js';
import { measurePolicies } from './policy_cases.js';
import type { Effort, MicroRow } from './sample.js';
import { measureUpcalls } from './upcall_cases.js';

export type { MicroRow } from './sample.js';

export interface MicroOptions {
  /** How long each case is measured; default 0.5. */
  readonly seconds?: number;
  /** Least number of samples of a case; default 64. */
  readonly samplesMin?: number;
  /** Cases whose group or name holds one of these texts; default: all. */
  readonly only?: readonly string[];
  readonly signal?: AbortSignal;
  /** Told of each case that is done. */
  readonly progress?: (row: MicroRow) => void;
}

export interface MicroReport {
  readonly rows: readonly MicroRow[];
  /** What could not be measured, a sentence each; never a silent gap. */
  readonly absent: readonly string[];
}

/** Runs the micro-benches, one case after the other. Rejects when a case goes wrong. */
export async function runMicro(options: MicroOptions = {}): Promise<MicroReport> {
  const effort: Effort = {
    seconds: options.seconds ?? 0.5, samplesMin: options.samplesMin ?? 64,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  };
  const { only = [] } = options;
  const chosen = (group: string) => (name: string): boolean => only.length === 0
    || only.some((text) => `${group} ${name}`.toLowerCase().includes(text.toLowerCase()));
  const rows: MicroRow[] = [];
  const absent: string[] = [];
  const done = (row: MicroRow): void => {
    rows.push(row);
    options.progress?.(row);
  };
  if (!await hasTinybench()) {
    return { rows, absent: ['tinybench is not installed; it comes with the sources only'] };
  }
  const native = nativeCases.filter(({ group, name }) => chosen(group)(name));
  const addon = native.length === 0 ? undefined : addonOr(absent);
  if (addon !== undefined) {
    for (const one of native) done(await measureNative(addon, one, effort));
  }
  await measureUpcalls(effort, chosen('Upcall'), done);
  await measurePolicies(effort, chosen('Policy'), done);
  return { rows, absent };
}

/** A development dependency: not beside the package from npm. */
async function hasTinybench(): Promise<boolean> {
  try {
    await import('tinybench');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return false;
    throw error;
  }
}

function addonOr(absent: string[]): MicroAddon | undefined {
  try {
    return loadMicroAddon();
  } catch (error) {
    if (!(error instanceof Absent)) throw error;
    absent.push(error.message);
    return undefined;
  }
}
