import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Endpoint } from '../system.js';
import type { Credentials } from './certificates.js';
import { findProgram, packageRoot, presenceOf, type Presence } from './program.js';
import type { Hop } from './two_hops.js';

/** What the three Envoy systems have in common. The configuration is made as JSON. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject { readonly [name: string]: Json }

const envoyFile = join(packageRoot, 'build/peers/bin/envoy');
const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;

/** Above every workload's flows: the default of 1,024 would refuse some. */
const flowsMax = 1 << 20;

export const envoyProgram = (): string | undefined => findProgram('envoy', [envoyFile]);

export async function probeEnvoy(): Promise<Presence> {
  const program = envoyProgram();
  if (program === undefined) return { absent: 'no Envoy; bench/setup installs one' };
  return presenceOf([program, '--version'], /version: [0-9a-f]+\/([^/\s]+)/);
}

/** A part that Envoy finds by its type: filters, protocol options, transport sockets. */
export const extension = (name: string, typeName: string, config: JsonObject = {}): JsonObject =>
  ({ name, typed_config: { '@type': type(typeName), ...config } });

/** BoringSSL picks AES-128-GCM for TLS 1.3 where the processor has AES; it cannot be told to. */
function tlsContext(credentials: Credentials, alpn: readonly string[]): JsonObject {
  return {
    common_tls_context: {
      tls_params: {
        tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3',
        ecdh_curves: ['X25519'],
      },
      tls_certificates: [{
        certificate_chain: { filename: credentials.certificateFile },
        private_key: { filename: credentials.keyFile },
      }],
      validation_context: {
        trusted_ca: { filename: credentials.rootFile },
        match_typed_subject_alt_names: [
          { san_type: 'URI', matcher: { exact: credentials.peerIdentity } },
        ],
      },
      ...(alpn.length > 0 ? { alpn_protocols: alpn } : {}),
    },
  };
}

/** The far hop's side of mTLS: a client certificate of the near hop's name, or no connection. */
export const serverTls = (hop: Hop, alpn: readonly string[] = []): JsonObject => ({
  transport_socket: extension('envoy.transport_sockets.tls',
    'transport_sockets.tls.v3.DownstreamTlsContext',
    { require_client_certificate: true, ...tlsContext(hop.credentials, alpn) }),
});

/** The near hop's side of mTLS. Sessions are resumed: tickets are kept, one per worker at least. */
export const clientTls = (hop: Hop, alpn: readonly string[] = []): JsonObject => ({
  transport_socket: extension('envoy.transport_sockets.tls',
    'transport_sockets.tls.v3.UpstreamTlsContext',
    { max_session_keys: 16, ...tlsContext(hop.credentials, alpn) }),
});

const addressOf = ({ host, port }: Endpoint): JsonObject =>
  ({ socket_address: { address: host, port_value: port } });

export const clusterName = 'next';

/** Where the hop sends everything. `more` carries TLS and protocol options. */
function clusterOf(hop: Hop, more: JsonObject): JsonObject {
  return {
    name: clusterName,
    type: 'STATIC',
    // A burst of 19,500 flows takes longer than the usual 5 s.
    connect_timeout: '60s',
    circuit_breakers: { thresholds: [{
      max_connections: flowsMax, max_pending_requests: flowsMax, max_requests: flowsMax,
      max_retries: 3,
    }] },
    load_assignment: {
      cluster_name: clusterName,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: addressOf(hop.next) } }] }],
    },
    ...more,
  };
}

export interface EnvoyParts {
  /** The listener's one chain: network filters and, on the far hop, TLS. */
  readonly filterChain: JsonObject;
  readonly cluster: JsonObject;
}

/**
 * Writes the configuration. Statistics are on as Envoy has them by default; there is no access log
 * and no administration port, which a hop under load would not be asked for.
 */
export async function envoyCommand(hop: Hop, parts: EnvoyParts): Promise<readonly string[]> {
  const file = join(hop.folder, 'envoy.json');
  const config: JsonObject = {
    node: { id: hop.side, cluster: 'bench' },
    static_resources: {
      listeners: [{
        name: hop.side,
        address: addressOf(hop.listen),
        // One accept queue for all workers would leave some of them idle with few flows.
        connection_balance_config: { exact_balance: {} },
        filter_chains: [parts.filterChain],
      }],
      clusters: [clusterOf(hop, parts.cluster)],
    },
    // Envoy would otherwise warn that nothing bounds the connections of a listener.
    overload_manager: { resource_monitors: [extension(
      'envoy.resource_monitors.global_downstream_max_connections',
      'resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
      { max_active_downstream_connections: flowsMax })] },
  };
  await writeFile(file, JSON.stringify(config, undefined, 2));
  return [envoyProgram() ?? 'envoy', '--config-path', file,
    '--concurrency', String(hop.workers),
    // Two processes on one machine would otherwise share, and fight for, one region of memory.
    '--disable-hot-restart', '--log-level', 'warning'];
}

const statPrefix = 'hop';

/** Bytes to the next hop as they come. No idle limit: flows may rest for a whole workload. */
export const tcpProxy = (more: JsonObject = {}): JsonObject =>
  extension('envoy.filters.network.tcp_proxy',
    'filters.network.tcp_proxy.v3.TcpProxy',
    { stat_prefix: statPrefix, cluster: clusterName, idle_timeout: '0s', ...more });

/** One connection manager, with the router behind whatever filters come before it. */
export const httpManager = (route: JsonObject, filters: readonly JsonObject[],
  more: JsonObject): JsonObject =>
  extension('envoy.filters.network.http_connection_manager',
    'filters.network.http_connection_manager.v3.HttpConnectionManager', {
      stat_prefix: statPrefix,
      route_config: {
        name: 'all',
        virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }],
      },
      http_filters: [...filters, extension('envoy.filters.http.router',
        'filters.http.router.v3.Router')],
      ...more,
    });

export const httpOptions = (explicit: JsonObject, common: JsonObject = {}): JsonObject => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: explicit, common_http_protocol_options: common,
    },
  },
});
