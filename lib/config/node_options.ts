import { listenOption } from './address_option.js';
import { forwardOption } from './forward_option.js';
import {
  booleanOption, bytesOption, choiceOption, durationOption, integerOption, textOption,
} from './option.js';
import type { Values } from './read.js';

/** The settings of the node proxy. Names that ztunnel has mean what they mean there. */
export const nodeOptions = {
  node: textOption({
    default: '', env: 'NODE_NAME', argument: 'NAME',
    doc: 'Name of this node: workloads of the mesh file with this node are served here',
  }),
  mesh: textOption({
    default: '', env: 'LOCAL_XDS_PATH', argument: 'FILE',
    doc: 'Mesh file in YAML or JSON, read again whenever it changes',
  }),
  caDir: textOption({
    default: '', env: 'ONEHOP_CA_DIR', argument: 'DIR',
    doc: 'Directory of the local certificate authority, made by onehop ca init',
  }),
  certTtl: durationOption({
    default: 86_400_000, env: 'ONEHOP_CERT_TTL', least: 1_000, most: 365 * 86_400_000,
    doc: 'Life of the certificates asked for; they are renewed at half of it',
  }),
  admin: listenOption({
    default: '127.0.0.1:15000', env: 'ONEHOP_ADMIN', doc: 'Address of the admin server',
  }),
  stats: listenOption({
    default: '0.0.0.0:15020', env: 'ONEHOP_STATS', doc: 'Address of the metrics server',
  }),
  ready: listenOption({
    default: '0.0.0.0:15021', env: 'ONEHOP_READY', doc: 'Address of the readiness server',
  }),
  log: choiceOption({
    default: 'text', env: 'LOG_FORMAT', choices: ['text', 'json', 'plain'],
    doc: 'Format of the log; plain is text',
  }),
  logLevel: choiceOption({
    default: 'info', env: 'ONEHOP_LOG_LEVEL',
    choices: ['off', 'error', 'warn', 'info', 'debug', 'trace'],
    doc: 'Lines below this level are not written',
  }),
  shards: integerOption({
    default: 0, env: 'ZTUNNEL_WORKER_THREADS', least: 0, most: 64,
    doc: 'Threads that carry traffic; 0 takes a quarter of the processors, at least 2',
  }),
  drainDeadline: durationOption({
    default: 5_000, env: 'CONNECTION_TERMINATION_DEADLINE', least: 0, most: 86_400_000,
    doc: 'How long live flows may go on after SIGTERM',
  }),
  clusterDomain: textOption({
    default: 'cluster.local', env: 'CLUSTER_DOMAIN', argument: 'DOMAIN',
    doc: 'DNS domain of the cluster, for short service names',
  }),
  mark: integerOption({
    default: 0, env: 'PACKET_MARK', least: 0, most: 0xffff_ffff,
    doc: 'SO_MARK of all sockets, so that redirection can leave them alone; 0 sets none',
  }),
  peerPort: integerOption({
    default: 15_008, env: 'ONEHOP_PEER_PORT', argument: 'PORT', least: 1, most: 65_535,
    doc: 'Port where peers are asked for tunnels; another one leads through what listens there',
  }),
  originalSource: choiceOption({
    default: 'auto', env: 'ENABLE_ORIG_SRC', choices: ['auto', 'true', 'false'],
    doc: 'Whether applications see the address of the downstream; auto: where the kernel grants it '
      + 'and the workload has a network namespace of its own',
  }),
  socks5: booleanOption({
    default: true, env: 'UNSTABLE_ENABLE_SOCKS5', doc: 'Listen for SOCKS5 on port 15080',
  }),
  forward: forwardOption({
    default: '', env: 'ONEHOP_FORWARD',
    doc: 'What connects to LISTEN, an address of a workload served here, goes to DESTINATION as if '
      + 'the workload had opened it; only the workload itself and loopback may',
  }),
  flowsMax: integerOption({
    default: 65_536, env: 'ONEHOP_FLOWS_MAX', least: 1, most: 4_194_304,
    doc: 'Live flows per shard; one more is refused',
  }),
  flowCacheMax: integerOption({
    default: 16_384, env: 'ONEHOP_FLOW_CACHE_MAX', least: 16, most: 1_048_576,
    doc: 'Decisions each shard remembers',
  }),
  counterSlots: integerOption({
    default: 4_096, env: 'ONEHOP_COUNTER_SLOTS', least: 1, most: 1_048_576,
    doc: 'Series of the traffic metrics; what does not fit is counted together',
  }),
  streamsPerTunnelMax: integerOption({
    default: 200, env: 'ONEHOP_STREAMS_PER_TUNNEL_MAX', least: 1, most: 65_535,
    doc: 'Streams a peer may have open on one tunnel connection to us',
  }),
  poolStreamsMax: integerOption({
    default: 100, env: 'POOL_MAX_STREAMS_PER_CONNECTION', least: 1, most: 65_535,
    doc: 'Streams we open on one tunnel connection; the peer may allow fewer',
  }),
  poolIdle: durationOption({
    default: 300_000, env: 'POOL_UNUSED_RELEASE_TIMEOUT', least: 0, most: 86_400_000,
    doc: 'How long a tunnel connection without streams stays open',
  }),
  poolNegative: durationOption({
    default: 1_000, env: 'ONEHOP_POOL_NEGATIVE', least: 0, most: 60_000,
    doc: 'How long a failed dial answers for its destination',
  }),
  upcallTimeout: durationOption({
    default: 5_000, env: 'ONEHOP_UPCALL_TIMEOUT', least: 10, most: 600_000,
    doc: 'How long a new kind of flow waits to be decided',
  }),
  dialTimeout: durationOption({
    default: 10_000, env: 'ONEHOP_DIAL_TIMEOUT', least: 10, most: 600_000,
    doc: 'How long a TCP connection may take to open',
  }),
  handshakeTimeout: durationOption({
    default: 10_000, env: 'ONEHOP_HANDSHAKE_TIMEOUT', least: 10, most: 600_000,
    doc: 'How long a TLS handshake may take, and how long the first byte of it',
  }),
  prefaceTimeout: durationOption({
    default: 5_000, env: 'ONEHOP_PREFACE_TIMEOUT', least: 10, most: 600_000,
    doc: 'How long a peer may take from the handshake to its HTTP/2 settings',
  }),
  connectTimeout: durationOption({
    default: 15_000, env: 'ONEHOP_CONNECT_TIMEOUT', least: 10, most: 600_000,
    doc: 'How long a peer may take to answer a CONNECT',
  }),
  liveness: durationOption({
    default: 30_000, env: 'ONEHOP_LIVENESS', least: 1_000, most: 3_600_000,
    doc: 'A tunnel connection without any progress for so long is dead',
  }),
  windowBudget: bytesOption({
    default: 256 * 2 ** 20, env: 'ONEHOP_WINDOW_BUDGET', least: 2 ** 20, most: 64 * 2 ** 30,
    doc: 'Memory that the receive windows of one shard may promise',
  }),
  congestion: textOption({
    default: '', env: 'ONEHOP_CONGESTION', argument: 'NAME',
    doc: 'TCP congestion control of our sockets, such as bbr; empty keeps the kernel\'s default',
  }),
  spin: integerOption({
    default: 0, env: 'ONEHOP_SPIN', argument: 'MICROSECONDS', least: 0, most: 1_000,
    doc: 'Longest busy poll before a shard sleeps; 0 never polls',
  }),
  optimistic: bytesOption({
    default: 4096, env: 'ONEHOP_OPTIMISTIC', least: 0, most: 2 ** 14,
    doc: 'Bytes of a flow that may go with its CONNECT, ahead of the answer, to peers that say they '
      + 'keep them; 0 waits for the answer',
  }),
};

export type NodeConfig = Values<typeof nodeOptions>;

/** Options without which the node proxy cannot start. */
export const nodeOptionsRequired = ['node', 'mesh', 'caDir'] as const satisfies
  readonly (keyof NodeConfig)[];
