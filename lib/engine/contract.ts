/**
 * The seam between TypeScript and the native engine: the only words both sides know. Its twin is
 * `native/engine/contract.h`; the loader compares the two tables when the addon loads.
 *
 * Native speaks flow, verdict, credential handle, endpoint, authority, expected peer, generation.
 * It has no word for workload, service or policy. Times are microseconds where named `Us`,
 * milliseconds where named `Ms`. Addresses are text: `ip`, or `ip:port` with brackets around IPv6.
 */

/** Bumped on every change of shape or order on either side. */
export const contractVersion = 6;

/** A number below 2^53 that names a native object; 0 names nothing. */
export type Handle = number;

export const listenerKinds = ['hbone', 'capture', 'plaintext', 'socks5', 'forward'] as const;
export type ListenerKind = (typeof listenerKinds)[number];

export const endpointProtocols = ['tcp', 'hbone', 'local'] as const;
/** `tcp`: plain connection. `hbone`: a tunnel. `local`: handed to this process as a socket. */
export type EndpointProtocol = (typeof endpointProtocols)[number];

/** Same order as `native/base/close_reason.h`. */
export const closeReasons = [
  'none', 'complete', 'downstream-reset', 'upstream-reset', 'denied', 'policy-changed', 'recursion',
  'upcall-timeout', 'overload', 'no-endpoint', 'unknown-destination', 'unknown-local',
  'no-credential', 'dial-timeout', 'dial-refused', 'dial-unreachable', 'dial-failed', 'tls-timeout',
  'tls-failed', 'tls-identity', 'tls-record', 'tls-truncated', 'h2-timeout', 'h2-protocol',
  'h2-flood', 'goaway', 'connect-timeout', 'connect-refused', 'bad-request', 'peer-gone',
  'idle-timeout', 'drained', 'removed', 'local-closed', 'internal',
] as const;
export type CloseReason = (typeof closeReasons)[number];

export const sides = ['internal', 'downstream', 'upstream'] as const;
export type Side = (typeof sides)[number];

/** Events of the flight recorder, oldest first in a summary. */
export const flowEvents = [
  'accepted', 'upcall', 'verdict', 'cache-hit', 'dial', 'connected', 'tunnel-reused', 'tls-done',
  'connect-sent', 'connect-ok', 'connect-refused', 'first-byte-up', 'first-byte-down',
  'downstream-fin', 'upstream-fin', 'downstream-reset', 'upstream-reset', 'stalled', 'resumed',
  'revalidated', 'closed',
] as const;
export type FlowEventName = (typeof flowEvents)[number];

/** One slot of the per-label-set counters, in units of one 64-bit cell. */
export const counterCells = [
  'opened', 'bytesUp', 'bytesDown', 'closed', 'closedDenied', 'closedConnect', 'closedTls',
  'closedH2', 'closedNetworkPolicy', 'closedIdentity', 'active', 'reserved0', 'reserved1',
  'reserved2', 'reserved3', 'reserved4',
] as const;

/** The engine's own counters and gauges, one 64-bit cell each, per shard. */
export const engineCells = [
  'accepted', 'acceptPauses', 'flowsActive', 'flowsOpened', 'flowsClosed', 'cacheHits',
  'cacheMisses', 'cacheEntries', 'cacheEvictions', 'upcallsSent', 'upcallTimeouts',
  'tunnelsDialled', 'tunnelsReused', 'tunnelsActive', 'tunnelDialFailures', 'serverTunnelsActive',
  'handshakesOk', 'handshakesFailed', 'handshakesActive', 'recordsOpened', 'recordsSealed',
  'bytesSealed', 'bytesOpened', 'h2FloodCloses', 'loopPasses', 'loopWakeups', 'buffersLent',
  'socketsOpen', 'summariesDropped', 'spliceBytes', 'keyUpdates', 'reserved',
] as const;

export interface EngineOptions {
  /** Shard threads, 1..64. */
  shards: number;
  /** Flow-cache entries per shard, 16..1048576; least recently used without live flows go first. */
  flowCacheMax: number;
  /** Label-set slots in the shared counter block, 1..1048576; slot 0 is the overflow slot. */
  counterSlots: number;
  /** Live flows per shard; one more is refused with `overload`. */
  flowsMax: number;
  /** Streams one peer may have open on one inbound tunnel (SETTINGS_MAX_CONCURRENT_STREAMS). */
  streamsPerTunnelMax: number;
  /** Own bound on streams per outbound tunnel; the peer's SETTINGS can only lower it. */
  poolStreamsMax: number;
  /** An outbound tunnel without streams is closed after this long. */
  poolIdleMs: number;
  /** How long a failed dial answers for the same pool key. */
  poolNegativeMs: number;
  upcallTimeoutMs: number;
  dialTimeoutMs: number;
  /** accept to ClientHello, and to the end of the handshake. */
  handshakeTimeoutMs: number;
  /** End of the handshake to the peer's preface and SETTINGS. */
  prefaceTimeoutMs: number;
  /** CONNECT sent to its response. */
  connectTimeoutMs: number;
  /** A tunnel without any progress or PONG for this long is dead. */
  livenessMs: number;
  /** Memory all receive windows of one shard may promise, bytes. */
  windowBudgetBytes: number;
  /** TCP_CONGESTION for sockets of the engine; '' keeps the kernel's default. */
  congestion: string;
  /** Longest busy poll before sleeping, microseconds; 0 turns adaptive spinning off. */
  spinUs: number;
  /**
   * A plain flow that moved this many bytes in one direction without a pause goes on by splice(2),
   * past this process's memory; 0 never does.
   */
  spliceAfterBytes: number;
  /**
   * So many bytes of a captured or forwarded flow go with its CONNECT, not after the answer, where the
   * peer has said (SETTINGS 0xf0c1 = 1) that it keeps them; 0 waits for the answer.
   */
  optimisticBytes: number;
}

export interface CredentialSpec {
  /** PEM: leaf first, then intermediates; no root. */
  chainPem: string;
  /** PEM, PKCS#8 or SEC1. */
  keyPem: string;
  /** PEM: the roots that peers must chain to. */
  rootsPem: string;
}

export interface CredentialInfo {
  handle: Handle;
  /** First SPIFFE URI of the leaf; '' when it carries none. */
  identity: string;
  serial: string;
  notBeforeMs: number;
  notAfterMs: number;
}

export interface ListenSpec {
  kind: ListenerKind;
  /** `ip:port`; port 0 lets the kernel choose. */
  address: string;
  /** Path of a network namespace to listen and dial in; '' is our own. */
  netns: string;
  /** SO_MARK for the listener and for the dials of its flows; 0 sets none. */
  mark: number;
  /** `hbone`: whom we are. 0 for the other kinds. */
  credential: Handle;
  /** Ask for IP_TRANSPARENT so that upstream dials may carry the downstream's address. */
  transparent: boolean;
  backlog: number;
}

export interface Listening {
  handle: Handle;
  /** The bound address, with the real port. */
  address: string;
  /** Whether the kernel granted IP_TRANSPARENT. */
  transparent: boolean;
}

/** A flow key nobody has decided yet. Equal keys are asked once; `shard` + `key` name the entry. */
export interface Upcall {
  shard: number;
  key: Handle;
  listener: Handle;
  kind: ListenerKind;
  /** Address of the downstream, without the port: the port is not part of a flow key. */
  sourceIp: string;
  /** Where the downstream wanted to go: original destination, SOCKS or local address. */
  destination: string;
  /** The address the listener accepted on. */
  local: string;
  /** HBONE: `:authority`. SOCKS5: a domain name with its port. Else ''. */
  authority: string;
  /** HBONE: the identity from the verified certificate; '' when there is none. */
  peerIdentity: string;
  /** HBONE: `host` of the `forwarded` header; '' when absent. Telemetry only, never trusted. */
  forwardedHost: string;
  /** HBONE: `x-forwarded-network`; '' when absent. */
  forwardedNetwork: string;
}

export interface Endpoint {
  protocol: EndpointProtocol;
  /** `ip:port` to connect to; for `hbone` the tunnel port of the peer. Unused for `local`. */
  dial: string;
  /** '' lets the kernel choose, 'downstream' spoofs the downstream's address, else an ip. */
  bind: string;
  /** `hbone`: whom we are. */
  credential: Handle;
  /** `hbone`: the `:authority` to ask for. */
  authority: string;
  /** `hbone`: the peer must present one of these SPIFFE ids. Never empty for `hbone`. */
  peers: readonly string[];
  /** `hbone`: further request headers (lower-case names), such as `baggage`. */
  headers: readonly (readonly [string, string])[];
  /** `hbone`: adds `forwarded: for="<downstream>"`, with `;host=` when not ''. */
  forwardedHost: string;
  /** Relative weight, >= 1; among equals the least loaded is picked. */
  weight: number;
  /** Slot in the counter block that this endpoint's flows count in. */
  counters: number;
}

export interface Verdict {
  shard: number;
  key: Handle;
  /** The state generation this was decided at; an older one never replaces a newer one. */
  generation: number;
  allow: boolean;
  /** `allow: false`: what the flow's summary says. 'none' when allowed. */
  reason: CloseReason;
  /** `allow: false` on HBONE: response status 400, 401 or 503. Else 0. */
  status: number;
  /** `allow: false`: slot counted in. */
  counters: number;
  /** `allow: true`: one or more; native picks by weight and load. */
  endpoints: readonly Endpoint[];
  /** `allow: true` on HBONE: headers of the 200 response. */
  responseHeaders: readonly (readonly [string, string])[];
  /** What to do with this key's live flows; only `close` when allowed means "reconnect them". */
  live: 'keep' | 'close';
}

export interface FlowEvent {
  /** Since the flow was accepted. */
  atUs: number;
  event: FlowEventName;
  /** Meaning depends on the event: an errno, an HTTP status, an HTTP/2 code; 0 otherwise. */
  value: number;
}

export interface FlowFacts {
  shard: number;
  flow: Handle;
  key: Handle;
  listener: Handle;
  kind: ListenerKind;
  /** `ip:port` of the downstream. */
  source: string;
  destination: string;
  authority: string;
  peerIdentity: string;
  /** `ip:port` dialled; '' when no dial was tried. */
  dialled: string;
  /** Index into the verdict's endpoints; -1 when none was picked. */
  endpoint: number;
  generation: number;
  /** Wall clock of accept. */
  startedMs: number;
  durationUs: number;
  /** Downstream to upstream, and back. */
  bytesUp: number;
  bytesDown: number;
  /** 32 hex digits, also sent in `traceparent`. */
  traceId: string;
  events: readonly FlowEvent[];
}

export interface FlowSummary extends FlowFacts {
  reason: CloseReason;
  side: Side;
  /** errno, TLS alert, HTTP/2 code or HTTP status that came with the reason; 0 when none. */
  code: number;
  detail: string;
}

/** A connection that failed before any flow existed on it. */
export interface Notice {
  shard: number;
  listener: Handle;
  source: string;
  reason: CloseReason;
  code: number;
  detail: string;
}

/** A flow whose endpoint is `local`: `fd` is ours to close. */
export interface Delivery {
  shard: number;
  key: Handle;
  flow: Handle;
  listener: Handle;
  fd: number;
  source: string;
  authority: string;
  peerIdentity: string;
}

/** Numbers of one packed summary; `kind`, `reason`, `side` and `event` are places in their tables. */
export const summaryNumbers = [
  'shard', 'flow', 'key', 'listener', 'kind', 'endpoint', 'generation', 'startedMs', 'durationUs',
  'bytesUp', 'bytesDown', 'reason', 'side', 'code', 'events',
] as const;
export const summaryTexts = [
  'source', 'destination', 'authority', 'peerIdentity', 'dialled', 'traceId', 'detail',
] as const;

/** The summaries of a batch in columns, which cost a tenth of objects to bring across. */
export interface PackedSummaries {
  /** Of each summary: `summaryNumbers`, then of each of its `events` atUs, event and value. */
  numbers: Float64Array;
  /** Of each summary: `summaryTexts`. */
  texts: readonly string[];
}

/** What there is none of is absent. */
export interface EventBatch {
  upcalls?: Upcall[];
  summaries?: PackedSummaries;
  notices?: Notice[];
  deliveries?: Delivery[];
  /** Keys that left the flow cache: [shard, key]. */
  evicted?: [number, Handle][];
}

export interface TunnelFacts {
  shard: number;
  dial: string;
  localIdentity: string;
  peerIdentity: string;
  streams: number;
  streamsServed: number;
  streamsMax: number;
  ageMs: number;
  state: 'dialling' | 'open' | 'draining';
}

export interface DialSpec {
  endpoint: Endpoint;
  netns: string;
  mark: number;
}

/**
 * What the addon exports. Calls throw `Error` whose `code` is a close reason, with errno or the
 * like in `number`, or 'argument' for a value of the wrong type or out of range.
 * Asynchronous answers come through callbacks on the JavaScript thread.
 */
export interface NativeAddon {
  /** The native tables, for comparison: version, and every list above joined by ','. */
  contract(): Record<string, string | number>;
  /** Versions: openssl (running), opensslBuilt, suites, groups; `mismatch` when unusable. */
  versions(): Record<string, string>;
  start(options: EngineOptions, onEvents: (batch: EventBatch) => void): NativeEngine;
}

export interface NativeEngine {
  /** Replaces the credential behind `handle`, or makes one for 0. Live tunnels keep theirs. */
  putCredential(handle: Handle, spec: CredentialSpec): CredentialInfo;
  /** Closes pooled tunnels that used it and fails its listeners' new handshakes. */
  removeCredential(handle: Handle): void;
  listen(spec: ListenSpec): Listening;
  /** Stops accepting; with `flows` true also ends its flows and tunnels with `removed`. */
  closeListener(handle: Handle, flows: boolean): void;
  /** Answers upcalls and revalidates keys already decided; applied by every shard in order. */
  answer(verdicts: readonly Verdict[]): void;
  /** Drops pooled tunnels to this `ip:port` (a workload went away). */
  purgePool(dial: string): void;
  /** Opens a flow from this process: the callback gets an fd we own, or an error. */
  dial(spec: DialSpec, done: (error: { reason: CloseReason; code: number; detail: string } | null,
    fd: number, facts: { peerIdentity: string; shard: number; flow: Handle }) => void): void;
  flows(done: (flows: FlowFacts[]) => void): void;
  tunnels(done: (tunnels: TunnelFacts[]) => void): void;
  /** Closes one live flow with `local-closed`. */
  closeFlow(shard: number, flow: Handle): void;
  /** Read in place: [shards][counterSlots][counterCells] and [shards][engineCells]. */
  counters(): BigUint64Array;
  engineCounters(): BigUint64Array;
  /** Whether the engine holds this process open; false at the start. */
  keepAlive(on: boolean): void;
  /** Whether flows that end as they should, with `complete`, are told of; true at the start. */
  summarizeComplete(on: boolean): void;
  /** Gives memory of this process that is free back to the system; takes milliseconds. */
  trim(): void;
  /** Stops accepting, sends GOAWAY, waits for flows until the deadline, then forces. */
  drain(deadlineMs: number, done: () => void): void;
  /**
   * Ends everything now and joins the shards; requests still open are answered, and the last events
   * delivered, before it returns. Safe to call twice. Also done when the environment exits.
   */
  stop(): void;
}
