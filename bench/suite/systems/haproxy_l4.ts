import { haproxyCommand, probeHaproxy } from './haproxy.js';
import { twoHops } from './two_hops.js';

export const haproxyL4 = twoHops({
  name: 'haproxy-l4',
  path: 'client - HAProxy tcp - mTLS - HAProxy tcp - server',
  carries: 'bytes',
  probe: probeHaproxy,
  command: (hop) => haproxyCommand(hop, { mode: 'tcp', bufferBytes: 65_536, settings: [] }),
});
