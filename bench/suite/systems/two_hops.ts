import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type {
  Endpoint, Layout, Peer, RunningSystem, Side, System, SystemContext,
} from '../system.js';
import { credentialsOf, type Credentials } from './certificates.js';
import { descendantsOf } from './process_tree.js';

/** All that one proxy of a pair has to know. */
export interface Hop {
  readonly side: Side;
  readonly listen: Endpoint;
  /** near: the far proxy. far: the server. */
  readonly next: Endpoint;
  readonly credentials: Credentials;
  /** The hop's own folder, made. */
  readonly folder: string;
  readonly workers: number;
}

export interface TwoHops
extends Pick<System, 'name' | 'path' | 'carries' | 'probe' | 'descriptorsPerFlow'> {
  /** Writes the hop's configuration into its folder; answers with the command that runs it. */
  command(hop: Hop): Promise<readonly string[]>;
  /** How many processes a hop with so many workers has beside its first; default 0. */
  children?(workers: number): number;
}

const childrenPollsMax = 200;

const hostOf = (layout: Layout, side: Side): string =>
  (side === 'near' ? layout.nearHost : layout.farHost);

/** The process and its children, of which there will be so many. */
async function proxiesOf(leader: Peer, children: number): Promise<Peer[]> {
  const { name, side, pid } = leader;
  let workers = await descendantsOf(pid);
  for (let polls = 0; workers.length < children && polls < childrenPollsMax; polls += 1) {
    await sleep(10);
    workers = await descendantsOf(pid);
  }
  return [leader,
    ...workers.map((worker, index) => ({ name: `${name}-worker-${index}`, side, pid: worker }))];
}

async function startHop(system: TwoHops, context: SystemContext, hop: Hop): Promise<Peer> {
  await mkdir(hop.folder, { recursive: true });
  const argv = await system.command(hop);
  context.signal.throwIfAborted();
  return context.launch(hop.side, `${system.name}-${hop.side}`, argv,
    () => context.layout.isListening(hop.side, hop.listen.port));
}

/** A system of two proxies of one kind. */
export function twoHops(system: TwoHops): System {
  const start = async (context: SystemContext): Promise<RunningSystem> => {
    const { layout, scratch, server, shards, shared } = context;
    const credentials = await credentialsOf(shared);
    const listenOf = async (side: Side): Promise<Endpoint> =>
      ({ host: hostOf(layout, side), port: await layout.freePort(side) });
    const near = await listenOf('near');
    const far = await listenOf('far');
    const hop = (side: Side, listen: Endpoint, next: Endpoint): Promise<Peer> =>
      startHop(system, context, {
        side, listen, next, credentials: credentials[side], folder: join(scratch, side),
        workers: shards,
      });
    const started = await Promise.all([hop('near', near, far), hop('far', far, server)]);
    const children = system.children?.(shards) ?? 0;
    const proxies = await Promise.all(started.map((peer) => proxiesOf(peer, children)));
    return { entry: near, proxies: proxies.flat() };
  };
  const { name, path, carries, descriptorsPerFlow = 2 } = system;
  return {
    name, path, carries, descriptorsPerFlow, probe: (layout) => system.probe(layout), start,
  };
}
