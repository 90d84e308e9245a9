import { clientTls, envoyCommand, probeEnvoy, serverTls, tcpProxy } from './envoy.js';
import { twoHops } from './two_hops.js';

/** Each flow is a TLS connection of its own between the two Envoys. */
export const envoyL4 = twoHops({
  name: 'envoy-l4',
  path: 'client - Envoy tcp proxy - mTLS - Envoy tcp proxy - server',
  carries: 'bytes',
  probe: probeEnvoy,
  command: (hop) => envoyCommand(hop, {
    filterChain: { filters: [tcpProxy()], ...(hop.side === 'far' ? serverTls(hop) : {}) },
    cluster: hop.side === 'near' ? clientTls(hop) : {},
  }),
});
