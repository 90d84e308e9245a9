import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import type { Layout, Side } from '../system.js';

const run = promisify(execFile);
const listenState = '0A';

async function table(layout: Layout, side: Side, name: string): Promise<string> {
  const [program, ...rest] = layout.inside(side);
  if (program === undefined) return readFile(`/proc/net/${name}`, 'latin1');
  const { stdout } = await run(program, [...rest, 'cat', `/proc/net/${name}`],
    { maxBuffer: 1 << 26 });
  return stdout;
}

function holdsListener(text: string, port: number): boolean {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return text.split('\n').some((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/);
    return state === listenState && local.endsWith(wanted);
  });
}

/**
 * Whether a socket listens on the port on that side, by the kernel's own table: a trial connection
 * would be the first flow of the proxy under test.
 */
export async function isListening(layout: Layout, side: Side, port: number): Promise<boolean> {
  for (const name of ['tcp', 'tcp6']) {
    if (holdsListener(await table(layout, side, name), port)) return true;
  }
  return false;
}
