import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { flagOf, nodeOptions, packageVersion } from 'onehop';

import { onehopArgv, siblingArgv } from '../paths.js';
import type { Endpoint, Peer, Side, System, SystemContext } from '../system.js';
import { authorityOf } from './certificates.js';
import { meshOf } from './mesh.js';
import { addressOf } from './relay.js';

const capturePort = 15_001;
const plaintextPort = 15_006;

type Flags = Readonly<Record<string, string>>;

/** What a variant of the system has of its own. */
interface Variant extends Pick<System, 'name' | 'path' | 'workloads'> {
  /** Options of `onehop node` by name. */
  readonly flags?: Flags;
  /** Run in a program of the bench, with the loop of that kind in the same process. */
  readonly loop?: 'main' | 'beside';
}

/** The names of options that this build has not got. */
const unknown = (flags: Flags): string[] =>
  Object.keys(flags).filter((name) => !(name in nodeOptions));

function argvOf({ loop }: Variant, flags: Flags): readonly string[] {
  if (loop !== undefined) return [...siblingArgv('busy_node.js'), loop, JSON.stringify(flags)];
  return [...onehopArgv, 'node', ...Object.entries(flags).flatMap(([name, value]) => {
    if (nodeOptions[name as keyof typeof nodeOptions].argument !== '') return [flagOf(name), value];
    return [value === 'true' ? flagOf(name) : flagOf(name).replace('--', '--no-')];
  })];
}

/** `port`: of the last listeners that it opens, `count` of them. */
async function launchNode(context: SystemContext, variant: Variant, side: Side,
  { port, count = 1 }: { port: number; count?: number }, more: Flags): Promise<Peer> {
  const { layout, scratch, shards, shared } = context;
  const host = side === 'near' ? layout.nearHost : layout.farHost;
  const ready = await layout.freePort(side);
  const stats = await layout.freePort(side);
  const flags: Flags = {
    node: side, mesh: join(scratch, 'mesh.json'), caDir: await authorityOf(shared),
    shards: String(shards), socks5: 'false', admin: 'off', stats: `${host}:${stats}`,
    ready: `${host}:${ready}`, logLevel: 'warn', flowsMax: '262144',
    ...(context.tunnelsKept ? {} : { poolIdle: '0' }),
    ...more, ...variant.flags,
  };
  return context.launch(side, `${variant.name}-${side}`, argvOf(variant, flags),
    () => layout.isListening(side, port, count));
}

/** Each identity has a port of its own, which leads to the server. */
async function forwardsOf({ layout, server, identities }: SystemContext, hosts: readonly string[]):
Promise<{ entries: Endpoint[]; forward: string }> {
  const port = await layout.freePort('near');
  const entries = hosts.slice(0, identities).map((host) => ({ host, port }));
  const forward = entries.map((entry) => `${addressOf(entry)}=${addressOf(server)}`).join(',');
  return { entries, forward };
}

async function start(context: SystemContext, variant: Variant): ReturnType<System['start']> {
  const { layout, scratch, server } = context;
  const { mesh, clientHosts } = meshOf(context, { netns: true });
  await writeFile(join(scratch, 'mesh.json'), JSON.stringify(mesh));
  if (layout.capture !== undefined) {
    // As a workload's traffic is: redirected where it leaves, its original destination known.
    layout.capture('near', server.port, capturePort);
    const [near, far] = await Promise.all([
      launchNode(context, variant, 'near', { port: plaintextPort }, { originalSource: 'false' }),
      launchNode(context, variant, 'far', { port: plaintextPort }, { originalSource: 'false' }),
    ]);
    return { entry: server, proxies: [near, far] };
  }
  const { entries, forward } = await forwardsOf(context, clientHosts);
  const [entry = server] = entries;
  const [near, far] = await Promise.all([
    launchNode(context, variant, 'near', { port: entry.port, count: entries.length }, { forward }),
    launchNode(context, variant, 'far', { port: plaintextPort }, {}),
  ]);
  return { entry, proxies: [near, far], entries };
}

const variantOf = (variant: Variant): System => ({
  ...variant,
  restless: variant.loop !== undefined,
  carries: 'bytes',
  descriptorsPerFlow: 1,
  probe: () => {
    const missing = unknown(variant.flags ?? {}).map(flagOf);
    return Promise.resolve(missing.length === 0 ? { version: `onehop ${packageVersion}` }
      : { absent: `this build of onehop node has no ${missing.join(', ')}` });
  },
  start: (context) => start(context, variant),
});

/** Two node proxies, policy and telemetry on. */
export const hbone = variantOf({
  name: 'hbone', path: 'client - onehop node - HBONE - onehop node - server',
});

export const hboneSpin = variantOf({
  name: 'hbone-spin', path: 'hbone, polling up to 50 µs before it sleeps',
  flags: { spin: '50' },
  workloads: ['ping-1b-1', 'ping-1k-1', 'ping-1b-64', 'connect-1', 'http-1', 'rest'],
});

export const hboneHonest = variantOf({
  name: 'hbone-honest', path: 'hbone, no data before the answer to CONNECT',
  flags: { optimistic: '0' },
  workloads: ['connect-1', 'connect-32', 'ping-1b-1', 'cold'],
});

/** The control of `hbone-stalled`: as much computing, beside the event loop. */
export const hboneBurdened = variantOf({
  name: 'hbone-burdened', path: 'hbone, a worker thread of each process busy 200 of 250 ms',
  loop: 'beside', workloads: ['live-flows', 'cached-flows'],
});

export const hboneStalled = variantOf({
  name: 'hbone-stalled', path: 'hbone, the event loop of each process busy 200 of 250 ms',
  loop: 'main', workloads: ['live-flows', 'cached-flows'],
});
