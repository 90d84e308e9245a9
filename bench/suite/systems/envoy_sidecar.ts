import {
  clientTls, clusterName, envoyCommand, extension, httpManager, httpOptions, probeEnvoy, serverTls,
  type JsonObject,
} from './envoy.js';
import { twoHops, type Hop } from './two_hops.js';

/** The near hop's identity may do anything, as a mesh's allow policy for one caller says. */
const rbac = (hop: Hop): JsonObject => extension('envoy.filters.http.rbac',
  'filters.http.rbac.v3.RBAC', { rules: {
    action: 'ALLOW',
    policies: { caller: {
      permissions: [{ any: true }],
      principals: [{ authenticated: { principal_name: { exact: hop.credentials.peerIdentity } } }],
    } },
  } });

const manager = (hop: Hop): JsonObject => httpManager(
  { match: { prefix: '/' }, route: { cluster: clusterName, timeout: '0s' } },
  hop.side === 'far' ? [rbac(hop)] : [],
  // HTTP/1.1 on every leg, as the workload sends it and as sidecars do between each other.
  { codec_type: 'HTTP1', stream_idle_timeout: '0s', generate_request_id: false });

/** The reference: what a mesh with sidecars does to a request. Pools keep their connections. */
export const envoySidecar = twoHops({
  name: 'envoy-sidecar',
  path: 'client - Envoy HTTP - mTLS, keep-alive - Envoy HTTP with RBAC - server',
  carries: 'http',
  probe: probeEnvoy,
  command: (hop) => envoyCommand(hop, {
    filterChain: { filters: [manager(hop)], ...(hop.side === 'far' ? serverTls(hop) : {}) },
    cluster: {
      ...httpOptions({ http_protocol_options: {} }, { idle_timeout: '0s' }),
      ...(hop.side === 'near' ? clientTls(hop) : {}),
    },
  }),
});
