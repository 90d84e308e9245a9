import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type {
  Endpoint, Layout, Peer, RunningSystem, Side, System, SystemContext,
} from '../system.js';
import { issueCredentials, type Credentials } from './certificates.js';
import { isListening } from './listening.js';
import { descendantsOf, endTree } from './process_tree.js';

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

export interface TwoHops extends Pick<System, 'name' | 'path' | 'carries' | 'probe'> {
  /** Writes the hop's configuration into its folder; answers with the command that runs it. */
  command(hop: Hop): Promise<readonly string[]>;
}

const hostOf = (layout: Layout, side: Side): string =>
  (side === 'near' ? layout.nearHost : layout.farHost);

async function proxiesOf({ name, side, pid }: Peer): Promise<Peer[]> {
  const workers = await descendantsOf(pid);
  return [{ name, side, pid },
    ...workers.map((worker, index) => ({ name: `${name}-worker-${index}`, side, pid: worker }))];
}

/**
 * Ends what was started, the last first. Goes on when one cannot be ended, and rejects then; a
 * second call joins the first.
 */
export function stopperOf(started: readonly Peer[]): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const outcomes = await Promise.allSettled(started.toReversed().map(({ pid }) => endTree(pid)));
    const failures = outcomes.flatMap((outcome) =>
      (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
    if (failures.length > 0) throw new AggregateError(failures, 'a proxy could not be ended');
  };
  return () => (stopping ??= stop());
}

async function startHop(system: TwoHops, context: SystemContext, hop: Hop): Promise<Peer> {
  await mkdir(hop.folder, { recursive: true });
  const argv = await system.command(hop);
  context.signal.throwIfAborted();
  return context.launch(hop.side, `${system.name}-${hop.side}`, argv,
    () => isListening(context.layout, hop.side, hop.listen.port));
}

/** A system of two proxies of one kind: the far one first, then the near one. */
export function twoHops(system: TwoHops): System {
  const start = async (context: SystemContext): Promise<RunningSystem> => {
    const { layout, scratch, server, shards } = context;
    const credentials = await issueCredentials(scratch);
    const started: Peer[] = [];
    const stop = stopperOf(started);
    try {
      let next = server;
      for (const side of ['far', 'near'] as const) {
        const listen = { host: hostOf(layout, side), port: await layout.freePort(side) };
        started.push(await startHop(system, context, {
          side, listen, next, credentials: credentials[side],
          folder: join(scratch, side), workers: shards,
        }));
        next = listen;
      }
      const proxies = await Promise.all(started.map(proxiesOf));
      return { entry: next, proxies: proxies.flat(), stop };
    } catch (error) {
      await stop();
      throw error;
    }
  };
  const { name, path, carries } = system;
  return { name, path, carries, probe: (layout) => system.probe(layout), start };
}
