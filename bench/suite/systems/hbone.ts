import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Authority, packageVersion } from 'onehop';

import { onehopArgv } from '../paths.js';
import type { Endpoint, Peer, Side, System, SystemContext } from '../system.js';
import { addressOf } from './relay.js';

const plaintextPort = 15_006;
const clientPrincipal = 'cluster.local/ns/bench/sa/client';

/** All but the last are about others; the last lets the client in. */
function policiesOf(count: number): object[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `policy-${index}`, namespace: 'bench', scope: 'Namespace', action: 'Allow',
    rules: [[[{
      principals: [{ Exact: index === count - 1 ? clientPrincipal
        : `cluster.local/ns/other-${index}/sa/client` }],
    }]]],
  }));
}

function meshOf({ layout, policies }: SystemContext): object {
  const workload = (name: string, ip: string, node: Side): object => ({
    uid: `bench//Pod/bench/${name}`, name, namespace: 'bench', serviceAccount: name,
    trustDomain: 'cluster.local', workloadIps: [ip], protocol: 'HBONE', node, services: {},
  });
  return {
    workloads: [
      workload('client', layout.nearHost, 'near'), workload('server', layout.farHost, 'far'),
    ],
    services: [], policies: policiesOf(policies),
  };
}

/** `port`: the last listener that it opens. */
async function launchNode(context: SystemContext, side: Side, port: number,
  more: readonly string[]): Promise<Peer> {
  const { layout, scratch, shards } = context;
  const host = side === 'near' ? layout.nearHost : layout.farHost;
  const ready = await layout.freePort(side);
  const stats = await layout.freePort(side);
  return context.launch(side, `node-${side}`, [
    ...onehopArgv, 'node', '--node', side, '--mesh', join(scratch, 'mesh.json'),
    '--ca-dir', join(scratch, 'ca'), '--shards', String(shards), '--no-socks5',
    '--admin', 'off', '--stats', `${host}:${stats}`, '--ready', `${host}:${ready}`,
    '--log-level', 'warn', '--flows-max', '262144', ...more,
  ], () => layout.isListening(side, port));
}

async function start(context: SystemContext): ReturnType<System['start']> {
  const { layout, scratch, server } = context;
  await Authority.init({ dir: join(scratch, 'ca') });
  await writeFile(join(scratch, 'mesh.json'), JSON.stringify(meshOf(context)));
  const far = await launchNode(context, 'far', plaintextPort, []);
  const entry: Endpoint = { host: layout.nearHost, port: await layout.freePort('near') };
  const near = await launchNode(context, 'near', entry.port,
    ['--forward', `${addressOf(entry)}=${addressOf(server)}`]);
  return { entry, proxies: [near, far], stop: () => Promise.resolve() };
}

/** Two node proxies, policy and telemetry on. */
export const hbone: System = {
  name: 'hbone',
  path: 'client - onehop node - HBONE - onehop node - server',
  carries: 'bytes',
  probe: () => Promise.resolve({ version: `onehop ${packageVersion}` }),
  start,
};
