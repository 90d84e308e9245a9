import { packageVersion } from 'onehop';

import { siblingArgv } from '../paths.js';
import type { Endpoint, Peer, Side, System, SystemContext } from '../system.js';

/** Starts one hop on a side; resolves when it listens. */
export type StartHop = (context: SystemContext, side: Side, listen: Endpoint,
  destination: Endpoint) => Promise<Peer>;

export const addressOf = ({ host, port }: Endpoint): string => `${host}:${port}`;

/** Client, a hop on the near side, a hop on the far side, server. */
export async function startTwoHops(context: SystemContext, startHop: StartHop):
ReturnType<System['start']> {
  const { layout, server } = context;
  const near = { host: layout.nearHost, port: await layout.freePort('near') };
  const far = { host: layout.farHost, port: await layout.freePort('far') };
  const proxies = await Promise.all([
    startHop(context, 'near', near, far), startHop(context, 'far', far, server),
  ]);
  return { entry: near, proxies };
}

/** Two hops of this engine without TLS or tunnel. */
export const relay: System = {
  name: 'relay',
  path: 'client - engine - engine - server, plaintext',
  carries: 'bytes',
  probe: () => Promise.resolve({ version: `onehop ${packageVersion}` }),
  start: (context) => startTwoHops(context, ({ layout, launch, shards }, side, listen, to) =>
    launch.call(context, side, `relay-${side}`,
      [...siblingArgv('relay_main.js'), addressOf(listen), addressOf(to), String(shards)],
      () => layout.isListening(side, listen.port))),
};
