import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const graceMs = 2_000;
const stepMs = 10;

/** One process as `/proc/PID/stat` names it; the start time tells it from a later one of its id. */
interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly startedTicks: string;
}

/** `undefined` when it has ended; a zombie has ended. */
async function processOf(pid: number): Promise<Process | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The program's name is in parentheses and may hold anything; state is the first field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state = '', parent = ''] = fields;
  return state === 'Z' || state === 'X' ? undefined
    : { pid, parent: Number(parent), startedTicks: fields[19] ?? '' };
}

async function everyProcess(): Promise<Process[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map(processOf));
  return found.filter((process) => process !== undefined);
}

async function treeOf(pid: number): Promise<Process[]> {
  const all = await everyProcess();
  const tree = all.filter((process) => process.pid === pid);
  for (const process of tree) {
    tree.push(...all.filter(({ parent }) => parent === process.pid));
  }
  return tree;
}

/** Its children and theirs, oldest generation first; `pid` itself is not among them. */
export async function descendantsOf(pid: number): Promise<number[]> {
  return (await treeOf(pid)).slice(1).map((process) => process.pid);
}

async function survivorsOf(tree: readonly Process[]): Promise<Process[]> {
  const now = await Promise.all(tree.map(({ pid }) => processOf(pid)));
  return tree.filter(({ startedTicks }, index) => now[index]?.startedTicks === startedTicks);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/**
 * Ends a process and everything under it: SIGTERM to the root, then SIGKILL to whatever of the
 * tree is left after 2 s. Resolves when all have ended; one that had ended before is fine.
 */
export async function endTree(pid: number): Promise<void> {
  const tree = await treeOf(pid);
  if (tree.length > 0) signal(pid, 'SIGTERM');
  let alive = tree;
  for (let waitedMs = 0; waitedMs < graceMs && alive.length > 0; waitedMs += stepMs) {
    await delay(stepMs);
    alive = await survivorsOf(tree);
  }
  for (const survivor of alive) signal(survivor.pid, 'SIGKILL');
  while (alive.length > 0) {
    await delay(stepMs);
    alive = await survivorsOf(alive);
  }
}
