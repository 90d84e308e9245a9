import type { Decision, FlowKey } from '../model/decision.js';
import type { MeshView } from '../state/view.js';
import { decideHbone, decidePlaintext } from './inbound.js';
import { defaultRoutingOptions, type RoutingOptions } from './options.js';
import { decideOutbound } from './outbound.js';

/**
 * What happens to flows with this key in the mesh as it is now. Depends on its arguments only;
 * after a change, deciding again is how live flows are revalidated.
 */
export function decide(
  state: MeshView, key: FlowKey, options: RoutingOptions = defaultRoutingOptions,
): Decision {
  switch (key.kind) {
    case 'hbone': return decideHbone(state, key, options);
    case 'plaintext': return decidePlaintext(state, key, options);
    case 'capture': case 'socks5': case 'forward':
      return decideOutbound(state, key, options);
  }
}

/** Decides again for many keys, as after a change; in the order given. */
export function redecide(
  state: MeshView, keys: Iterable<FlowKey>, options: RoutingOptions = defaultRoutingOptions,
): Decision[] {
  return Array.from(keys, (key) => decide(state, key, options));
}
