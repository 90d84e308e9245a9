import {
  clientTls, clusterName, envoyCommand, httpManager, httpOptions, probeEnvoy, serverTls, tcpProxy,
  type EnvoyParts, type JsonObject,
} from './envoy.js';
import { twoHops, type Hop } from './two_hops.js';

const http2: JsonObject = {
  // Room for every flow of a workload on one tunnel; the default is 1,024 streams.
  max_concurrent_streams: 1 << 20,
  initial_stream_window_size: 1 << 20,
  initial_connection_window_size: 1 << 24,
  // A burst of more than the 10,000 of the default would be taken for a flood, and end the tunnel.
  max_outbound_frames: 1 << 20,
};

const near = (hop: Hop): EnvoyParts => ({
  filterChain: { filters: [tcpProxy({
    tunneling_config: { hostname: `${hop.next.host}:${hop.next.port}` },
  })] },
  cluster: { ...clientTls(hop, ['h2']), ...httpOptions({ http2_protocol_options: http2 }) },
});

/** CONNECT ends here: its route turns the stream into a connection to the server. */
const far = (hop: Hop): EnvoyParts => ({
  filterChain: {
    filters: [httpManager({
      match: { connect_matcher: {} },
      route: {
        cluster: clusterName,
        timeout: '0s', idle_timeout: '0s',
        upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }],
      },
    }, [], {
      codec_type: 'HTTP2',
      http2_protocol_options: { ...http2, allow_connect: true },
      upgrade_configs: [{ upgrade_type: 'CONNECT' }],
      stream_idle_timeout: '0s',
    })],
    ...serverTls(hop, ['h2']),
  },
  cluster: {},
});

/** What Envoy itself does for HBONE: each flow is a stream of a shared mTLS connection. */
export const envoyConnect = twoHops({
  name: 'envoy-connect',
  path: 'client - Envoy tcp proxy - HTTP/2 CONNECT over mTLS - Envoy - server',
  carries: 'bytes',
  descriptorsPerFlow: 1,
  probe: probeEnvoy,
  command: (hop) => envoyCommand(hop, hop.side === 'near' ? near(hop) : far(hop)),
});
