import { connect } from 'node:net';
import { parentPort } from 'node:worker_threads';

/** Connections to make at once, each from a source address of its own. */
export interface Dial { readonly port: number; readonly sources: readonly string[] }

// On a thread of its own: the one that is asked shall be asleep, as in a node proxy.
parentPort?.on('message', ({ port, sources }: Dial) => {
  for (const localAddress of sources) {
    const socket = connect({ host: '127.0.0.1', port, localAddress });
    socket.on('error', () => undefined);
    socket.resume();
  }
});
