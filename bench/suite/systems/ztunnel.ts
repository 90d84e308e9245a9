import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { LayoutName, Peer, Side, System, SystemContext } from '../system.js';
import { meshOf } from './mesh.js';
import { findProgram, presenceOf, type Presence } from './program.js';

const capturePort = 15_001;
const readyPort = 15_021;
const plaintextPort = 15_006;
const given = process.env['ZTUNNEL_BIN'] ?? '';

async function probe(layout: LayoutName): Promise<Presence> {
  if (given === '') return { absent: 'ZTUNNEL_BIN names no binary' };
  if (layout !== 'netns') return { absent: 'its ports are fixed: only the layout netns has room' };
  const program = findProgram(given, [given]);
  if (program === undefined) return { absent: `ZTUNNEL_BIN: there is no program ${given}` };
  const found = await presenceOf([program, 'version'],
    /GitRevision:\s*"?([^",}]{1,12}).*CryptoProvider:\s*"?([^",}]+)/s);
  if ('absent' in found || !found.version.startsWith('unknown')) return found;
  // Built outside of a repository: told by what it is.
  const hash = createHash('sha256').update(await readFile(program)).digest('hex').slice(0, 12);
  return { version: found.version.replace('unknown', `sha256 ${hash}`) };
}

/** As ztunnel reads it: what a policy compares with is a tag there, and no object. */
const yamlOf = (mesh: object): string =>
  JSON.stringify(mesh).replace(/\{"Exact":("[^"]*")\}/g, '!Exact $1');

const environmentOf = (context: SystemContext, workload: string): Record<string, string> => ({
  PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: `bench/${workload}/${workload}`,
  LOCAL_XDS_PATH: join(context.scratch, 'mesh.yaml'), XDS_ADDRESS: '', FAKE_CA: 'true',
  CLUSTER_ID: 'Kubernetes', ENABLE_ORIG_SRC: 'false', ISTIO_META_DNS_CAPTURE: 'false',
  ZTUNNEL_WORKER_THREADS: String(context.shards), RUST_LOG: 'warn', IPV6_ENABLED: 'false',
});

function launch(context: SystemContext, side: Side, workload: string): Promise<Peer> {
  const { layout } = context;
  const variables = Object.entries(environmentOf(context, workload));
  return context.launch(side, `ztunnel-${side}`,
    ['env', ...variables.map(([name, value]) => `${name}=${value}`), given, 'proxy'],
    async () => await layout.isListening(side, plaintextPort)
      && layout.isListening(side, readyPort));
}

/** Two of them, as they are: captured as our own node proxies are in this layout. */
export const ztunnel: System = {
  name: 'ztunnel',
  path: 'client - ztunnel - HBONE - ztunnel - server',
  carries: 'bytes',
  descriptorsPerFlow: 1,
  probe,
  start: async (context) => {
    const { mesh } = meshOf(context, { netns: false });
    await writeFile(join(context.scratch, 'mesh.yaml'), yamlOf(mesh));
    context.layout.capture?.('near', context.server.port, capturePort);
    const proxies = await Promise.all([
      launch(context, 'near', 'client'), launch(context, 'far', 'server'),
    ]);
    return { entry: context.server, proxies };
  },
};
