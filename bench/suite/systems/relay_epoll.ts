import { loadGenerator } from '../loadgen.js';
import type { System } from '../system.js';
import { addressOf, startTwoHops } from './relay.js';

/** Two hops of a forwarder that does nothing but read and write; see bench/loadgen/relay.h. */
export const relayEpoll: System = {
  name: 'relay-epoll',
  path: 'client - epoll, read, write - epoll, read, write - server, plaintext',
  carries: 'bytes',
  probe: () => Promise.resolve({ version: 'bench/loadgen' }),
  start: (context) => startTwoHops(context, ({ layout, launch }, side, listen, to) =>
    launch.call(context, side, `relay-epoll-${side}`,
      [loadGenerator(), 'relay', addressOf(listen), addressOf(to)],
      () => layout.isListening(side, listen.port))),
};
