import { readdir, readFile } from 'node:fs/promises';

interface Process {
  readonly pid: number;
  readonly parent: number;
}

/** `undefined` when it has ended; a zombie has ended. */
export async function processOf(pid: number): Promise<Process | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The program's name is in parentheses and may hold anything; state is the first field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state = '', parent = ''] = fields;
  return state === 'Z' || state === 'X' ? undefined : { pid, parent: Number(parent) };
}

async function everyProcess(): Promise<Process[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map(processOf));
  return found.filter((process) => process !== undefined);
}

/** With `pid` itself first. */
export async function treeOf(pid: number): Promise<Process[]> {
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
