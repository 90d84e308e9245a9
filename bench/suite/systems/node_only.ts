import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { packageRoot, type Presence } from './program.js';
import { twoHops } from './two_hops.js';

const program = join(packageRoot, 'dist/bench/systems/node_only_hop.js');

async function probe(): Promise<Presence> {
  return existsSync(program) ? { version: `Node.js ${process.versions.node}` }
    : { absent: `${program} is missing; npm run build makes it` };
}

/** What HBONE costs without the addon: node:http2 over node:tls, one process per hop. */
export const nodeOnly = twoHops({
  name: 'node-only',
  path: 'client - JavaScript - HTTP/2 CONNECT over mTLS - JavaScript - server',
  carries: 'bytes',
  descriptorsPerFlow: 1,
  probe,
  children: (workers) => workers > 1 ? workers : 0,
  command: async (hop) => {
    const file = join(hop.folder, 'hop.json');
    await writeFile(file, JSON.stringify(hop));
    return [process.execPath, program, file];
  },
});
