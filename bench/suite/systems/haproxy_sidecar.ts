import { haproxyCommand, probeHaproxy } from './haproxy.js';
import { twoHops } from './two_hops.js';

export const haproxySidecar = twoHops({
  name: 'haproxy-sidecar',
  path: 'client - HAProxy HTTP - mTLS, keep-alive - HAProxy HTTP - server',
  carries: 'http',
  probe: probeHaproxy,
  command: (hop) => haproxyCommand(hop, {
    mode: 'http',
    bufferBytes: 16_384,
    settings: [
      'option http-keep-alive',
      // Any idle connection serves any client's next request, even its first.
      'http-reuse always',
      'timeout http-keep-alive 24h',
    ],
  }),
});
