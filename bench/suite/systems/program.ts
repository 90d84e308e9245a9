import { execFile } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The package's folder; three up from here, in the sources as in dist. */
export const packageRoot = fileURLToPath(new URL('../../../', import.meta.url));

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Where a program is: one of these files, or its name on the path. */
export function findProgram(name: string, files: readonly string[] = []): string | undefined {
  // A shell of an ordinary user often has no sbin on its path.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return [...files, ...folders.map((folder) => join(folder, name))].find(isExecutable);
}

export type Presence = { version: string } | { absent: string };

/** Runs `argv` and takes the version from what it prints: the groups of `pattern`, joined. */
export async function presenceOf(argv: readonly string[], pattern: RegExp): Promise<Presence> {
  const [program = '', ...rest] = argv;
  try {
    const { stdout, stderr } = await run(program, rest, { timeout: 10_000 });
    const found = pattern.exec(stdout + stderr);
    return found === null ? { absent: `${program} does not say its version` }
      : { version: found.slice(1).join(' ') };
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return { absent: `${program} does not run: ${why}` };
  }
}

/** How many descriptors a process of ours may open at most. */
export function descriptorsMax(): number {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? '';
  const count = hard === 'unlimited' ? 1 << 20 : Number(hard);
  return Number.isFinite(count) && count > 0 ? Math.min(count, 1 << 20) : 1024;
}
