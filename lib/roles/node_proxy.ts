import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

import { Readiness } from '../admin/readiness.js';
import { AdminServer, type Mount } from '../admin/server.js';
import { unlessAborted } from '../base/abort.js';
import { messageOf, OnehopError } from '../base/error.js';
import { parseForwards, type Forward } from '../config/forward_option.js';
import { nodeOptions, nodeOptionsRequired, type NodeConfig } from '../config/node_options.js';
import { ConfigError, flagOf, readConfig } from '../config/read.js';
import { formatDiagnostic, type Diagnostic } from '../discovery/diagnostic.js';
import { MeshFile } from '../discovery/mesh_file.js';
import {
  counterCells, type FlowFacts, type FlowSummary, type Handle, type Notice, type TunnelFacts,
  type Upcall,
} from '../engine/contract.js';
import { Engine } from '../engine/engine.js';
import type { CertificateSource } from '../identity/certificate.js';
import { LocalCa } from '../identity/local_ca.js';
import { IdentityManager, type IdentityStatus } from '../identity/manager.js';
import { formatAddress, isLoopback } from '../model/address.js';
import type { Decision, FlowKey } from '../model/decision.js';
import type { Delta } from '../model/resources.js';
import { decide } from '../routing/decide.js';
import { defaultRoutingOptions, type RoutingOptions } from '../routing/options.js';
import { MeshState } from '../state/mesh_state.js';
import { logFlow, logNotice } from '../telemetry/access_log.js';
import { Log, type LogStream } from '../telemetry/log.js';
import { Metrics } from '../telemetry/metrics.js';
import { SlotAllocator } from '../telemetry/slots.js';
import { WorkerPool } from '../workers/pool.js';
import { configDump } from './config_dump.js';
import { isForeign, refuseForeign } from './foreign_caller.js';
import { FlowTable } from './flow_table.js';
import { NodeMesh } from './node_mesh.js';
import { addNodeMetrics } from './node_metrics.js';
import { adminMounts, statsMounts, type NodeSurfaces } from './node_surfaces.js';
import type { ListenerPlace, ServedWorkloadOptions } from './served_workload.js';
import { packageVersion } from './version.js';

export type { LogStream } from '../telemetry/log.js';

/**
 * Every option of `onehop node`, by name; `node`, `mesh` and `caDir` (or `certificates`) are needed.
 */
export type NodeProxyOptions = Partial<NodeConfig> & {
  /** Where certificates come from, instead of `caDir`. */
  certificates?: CertificateSource;
  /** A file descriptor or a stream for the log; default: standard output. */
  logTo?: number | LogStream;
  logColor?: boolean;
  /** Gives up starting; what has started by then is stopped first. */
  signal?: AbortSignal;
};

/** A series that nobody uses leaves the metrics after this long. */
const seriesExpiryMs = 10 * 60_000;

function shardsOf(config: NodeConfig): number {
  return config.shards > 0 ? config.shards : Math.max(2, Math.ceil(availableParallelism() / 4));
}

function startEngine(config: NodeConfig, handlers: Parameters<typeof Engine.start>[1]): Engine {
  return Engine.start({
    shards: shardsOf(config), flowCacheMax: config.flowCacheMax, counterSlots: config.counterSlots,
    flowsMax: config.flowsMax, streamsPerTunnelMax: config.streamsPerTunnelMax,
    poolStreamsMax: config.poolStreamsMax, poolIdleMs: Math.max(config.poolIdle, 1),
    poolNegativeMs: config.poolNegative, upcallTimeoutMs: config.upcallTimeout,
    dialTimeoutMs: config.dialTimeout, handshakeTimeoutMs: config.handshakeTimeout,
    prefaceTimeoutMs: config.prefaceTimeout, connectTimeoutMs: config.connectTimeout,
    livenessMs: config.liveness, windowBudgetBytes: config.windowBudget,
    congestion: config.congestion, spinUs: config.spin, optimisticBytes: config.optimistic,
  }, handlers);
}

/** `ip:port` as the options hold it: canonical. */
function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  return { host, port: Number(address.slice(colon + 1)) };
}

/** Those the kernel has loaded; undefined when it does not tell. */
function congestionControls(): string[] | undefined {
  try {
    const text = readFileSync('/proc/sys/net/ipv4/tcp_available_congestion_control', 'utf8');
    return text.trim().split(' ');
  } catch {
    return undefined;
  }
}

function checkedConfig(
  { certificates, logTo, logColor, signal, ...given }: NodeProxyOptions,
): NodeConfig {
  const { values } = readConfig(nodeOptions, given, {});
  const missing = nodeOptionsRequired.filter((name) =>
    values[name] === '' && !(name === 'caDir' && certificates !== undefined));
  if (missing.length > 0) {
    throw new ConfigError(missing.map((name) => ({
      name: flagOf(name), value: '',
      message: `${flagOf(name)}: is missing; ${nodeOptions[name].doc}`,
    })));
  }
  return values;
}

/**
 * The per-node L4 proxy: serves the workloads of one node of a mesh file. `start` resolves when it is
 * ready; `drain` ends it gently, `stop` at once.
 */
export class NodeProxy implements AsyncDisposable {
  readonly config: NodeConfig;
  readonly #readiness = new Readiness();
  readonly #log: Log;
  readonly #workers = new WorkerPool({ onRest: () => this.#trimOnce() });
  readonly #state = new MeshState();
  readonly #places = new Map<Handle, ListenerPlace>();
  readonly #servers: { readonly name: string; readonly server: AdminServer }[] = [];
  readonly #known = new Map<string, string>();
  readonly #engine: Engine;
  readonly #slots: SlotAllocator;
  readonly #table: FlowTable;
  readonly #metrics: Metrics;
  readonly #mesh: NodeMesh;
  readonly #routing: RoutingOptions;
  readonly #forwards: readonly Forward[];
  #identities: IdentityManager | undefined;
  #file: MeshFile | undefined;
  #meshError = '';
  #meshErrors = 0;
  #started = false;
  #trimmed = false;
  #draining: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #ended: () => void = () => undefined;
  /** Resolves once it stopped, whoever asked for it. */
  readonly ended: Promise<void>;

  private constructor(config: NodeConfig, options: NodeProxyOptions) {
    this.config = config;
    this.ended = new Promise((done) => (this.#ended = done));
    this.#log = new Log({
      format: config.log === 'json' ? 'json' : 'text', level: config.logLevel,
      ...(options.logTo === undefined ? {} : { to: options.logTo }),
      color: options.logColor ?? false,
      onLevel: () => this.#chooseSummaries(),
    });
    this.#forwards = parseForwards(config.forward) ?? [];
    this.#routing = {
      ...defaultRoutingOptions, clusterDomain: config.clusterDomain, hbonePort: config.peerPort,
      ownAddresses: new Set(this.#forwards.map(({ ip, port }) => formatAddress(ip, port))),
    };
    this.#engine = startEngine(config, {
      decide: (upcall) => this.#table.ask(upcall),
      summaries: (ended) => ended.forEach((summary) => this.#onSummary(summary)),
      notices: (failed) => failed.forEach((notice) => this.#onNotice(notice)),
      evicted: (keys) => keys.forEach(([shard, key]) => this.#table.forget(shard, key)),
      failed: (error) => this.#log.write('error', 'engine', error.message, { code: error.code }),
    });
    this.#chooseSummaries();
    this.#slots = new SlotAllocator({
      expiryMs: seriesExpiryMs,
      block: {
        read: () => this.#engine.counterBlock(), shards: this.#engine.options.shards,
        slots: this.#engine.options.counterSlots, cells: counterCells,
      },
    });
    this.#table = new FlowTable({
      slots: this.#slots,
      keyOf: (upcall) => this.#keyOf(upcall),
      decide: (key) => this.#decide(key),
      credentialOf: (identity) => this.#identities?.handleOf(identity),
      generation: () => this.#state.generation,
    });
    this.#mesh = new NodeMesh({
      node: config.node, state: this.#state, log: this.#log,
      serve: ({ netns }) => this.#servedOptions(netns),
      purge: (dial) => this.#engine.purgePool(dial),
    });
    this.#metrics = new Metrics(this.#slots);
    this.#addMetrics();
  }

  /**
   * Resolves when it is ready: every workload of the node was tried once. A workload that cannot be served
   * is reported and tried again; a broken mesh file, authority or option rejects. Codes:
   * `ERR_ONEHOP_CONFIG`, `ERR_ONEHOP_MESH_FILE`, `ERR_ONEHOP_LISTEN` (admin, stats or ready),
   * `ERR_ONEHOP_LOAD` (no engine here).
   */
  static async start(options: NodeProxyOptions): Promise<NodeProxy> {
    options.signal?.throwIfAborted();
    const proxy = new NodeProxy(checkedConfig(options), options);
    try {
      await proxy.#start(options.certificates, options.signal);
    } catch (error) {
      await proxy.stop();
      throw error;
    }
    return proxy;
  }

  get ready(): boolean {
    return this.#readiness.ready;
  }

  /** Where it can be asked; '' for what is off. */
  get addresses(): { admin: string; stats: string; ready: string } {
    const of = (wanted: string): string =>
      this.#servers.find(({ name }) => name === wanted)?.server.address ?? '';
    return { admin: of('admin'), stats: of('stats'), ready: of('ready') };
  }

  /** The Prometheus text of now. */
  metrics(): Promise<string> {
    return this.#metrics.text();
  }

  flows(): Promise<FlowFacts[]> {
    return this.#engine.flows();
  }

  tunnels(): Promise<TunnelFacts[]> {
    return this.#engine.tunnels();
  }

  /** Reads the mesh file now; resolves when what it says is applied. */
  async reload(): Promise<void> {
    await this.#file?.reload();
  }

  /** Refuses new flows, lets live ones end until the deadline, then stops. */
  drain(deadlineMs = this.config.drainDeadline): Promise<void> {
    this.#draining ??= this.#drain(deadlineMs);
    return this.#draining;
  }

  /** Ends everything now. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #start(certificates: CertificateSource | undefined, signal?: AbortSignal): Promise<void> {
    const { config } = this;
    this.#readiness.wait('mesh file');
    this.#readiness.wait('workloads');
    const surfaces = this.#surfaces();
    await this.#listen('ready', config.ready, [this.#readiness.mount()]);
    await this.#listen('stats', config.stats, statsMounts(surfaces));
    await this.#listen('admin', config.admin, adminMounts(surfaces));
    signal?.throwIfAborted();
    const source = certificates ?? await this.#openCa();
    this.#identities = new IdentityManager({
      source,
      store: {
        putCredential: (handle, { chainPem, keyPem, rootsPem }) =>
          this.#engine.putCredential({ chainPem, keyPem, rootsPem }, handle),
        removeCredential: (handle) => this.#engine.removeCredential(handle),
      },
      onChange: (status) => this.#onIdentity(status),
    });
    let first: Promise<unknown> = Promise.resolve();
    this.#file = await MeshFile.open(config.mesh, {
      onDelta: (delta) => (first = this.#onDelta(delta)),
      onUnchanged: () => this.#onUnchanged(),
      onDiagnostics: (diagnostics) => this.#onDiagnostics(diagnostics),
    }, { pool: this.#workers });
    this.#readiness.done('mesh file');
    await unlessAborted(first, signal);
    this.#readiness.done('workloads');
    this.#started = true;
    this.#warnOfIdleOptions();
    this.#log.write('info', 'node', 'ready', {
      node: config.node, version: packageVersion, workloads: this.#mesh.list().length,
      failed: this.#mesh.count('failed'), shards: this.#engine.options.shards, ...this.addresses,
    });
  }

  /** What starting took and the engine does not need. Later the same memory serves again. */
  #trimOnce(): void {
    if (this.#trimmed || !this.#started || this.#stopping !== undefined) return;
    this.#trimmed = true;
    this.#engine.trim();
  }

  async #openCa(): Promise<CertificateSource> {
    const { caDir, certTtl } = this.config;
    try {
      return await LocalCa.open(caDir, { workers: this.#workers, certificateTtlMs: certTtl });
    } catch (error) {
      throw new ConfigError([{
        name: '--ca-dir', value: caDir, message: `--ca-dir: ${messageOf(error)}`,
      }]);
    }
  }

  async #listen(name: string, address: string, mounts: readonly Mount[]): Promise<void> {
    if (address === '') return;
    const server = new AdminServer(mounts);
    const { host, port } = splitAddress(address);
    try {
      await server.listen(host, port);
    } catch (error) {
      throw new OnehopError('ERR_ONEHOP_LISTEN', `${flagOf(name)} ${address}: ${messageOf(error)}`,
        { cause: error instanceof Error ? error.cause : error });
    }
    this.#servers.push({ name, server });
  }

  async #drain(deadlineMs: number): Promise<void> {
    if (this.#stopping !== undefined) return this.#stopping;
    this.#readiness.wait('draining');
    this.#log.write('info', 'node', 'draining', { deadline: `${deadlineMs}ms` });
    this.#file?.close();
    this.#mesh.stop();
    await this.#engine.drain(deadlineMs);
    await this.stop();
  }

  async #stop(): Promise<void> {
    this.#readiness.wait('stopped');
    this.#file?.close();
    this.#mesh.stop();
    this.#identities?.stop();
    // The last summaries come before this returns.
    this.#engine.stop();
    if (this.#started) this.#log.write('info', 'node', 'stopped', { node: this.config.node });
    await Promise.all(this.#servers.map(({ server }) => server.close()));
    await this.#workers.close();
    await this.#log.flush();
    this.#ended();
  }

  #onDelta(delta: Delta): Promise<unknown> {
    this.#meshError = '';
    const started = this.#mesh.apply(delta);
    this.#revalidate();
    this.#log.write('info', 'mesh', 'mesh applied', {
      generation: this.#state.generation, workloads: delta.workloads.length,
      services: delta.services.length, policies: delta.policies.length,
      removed: delta.removedWorkloads.length + delta.removedServices.length
        + delta.removedPolicies.length,
    });
    return started;
  }

  #onUnchanged(): void {
    const refused = this.#meshError !== '';
    this.#meshError = '';
    this.#log.write('info', 'mesh', refused ? 'the mesh file is right again; nothing changed'
      : 'mesh file read; nothing changed', { generation: this.#state.generation });
  }

  /** What was asked for and does nothing. */
  #warnOfIdleOptions(): void {
    const { node, mesh } = this.config;
    const served = this.#mesh.list().map(({ workload }) => workload);
    if (served.length === 0) {
      const nodes = new Set([...this.#state.workloads()].map((workload) => workload.node));
      this.#log.write('warn', 'node', 'no workload of the mesh file is served on this node', {
        node, mesh, nodes: [...nodes].filter((name) => name !== '').slice(0, 16).join(','),
      });
    }
    for (const { ip, port } of this.#forwards) {
      if (served.some(({ ips }) => ips.includes(ip))) continue;
      this.#log.write('warn', 'node', 'no workload served on this node has the address to forward '
        + 'from', { forward: formatAddress(ip, port) });
    }
    const { congestion } = this.config;
    const known = congestionControls();
    if (congestion !== '' && known !== undefined && !known.includes(congestion)) {
      this.#log.write('warn', 'node', 'the kernel has no such congestion control; it uses its own',
        { congestion, known: known.join(',') });
    }
  }

  #onDiagnostics(diagnostics: readonly Diagnostic[]): void {
    const errors = diagnostics.filter(({ severity }) => severity === 'error');
    for (const diagnostic of diagnostics) {
      const level = diagnostic.severity === 'error' ? 'error' : 'warn';
      this.#log.write(level, 'mesh', formatDiagnostic(diagnostic), { value: diagnostic.value });
    }
    if (errors.length === 0) return;
    this.#meshErrors += 1;
    this.#meshError = errors.map(formatDiagnostic).join('\n');
    this.#log.write('error', 'mesh', 'the mesh file is refused; what it said before still holds', {
      file: this.config.mesh, errors: errors.length, generation: this.#state.generation,
    });
  }

  /** A certificate that came or went decides whether its flows can be carried. */
  #onIdentity(status: IdentityStatus): void {
    const { identity, state, renewalError } = status;
    if (state.kind === 'available') {
      const { serial, notAfterMs } = state.certificate;
      if (renewalError === undefined) {
        this.#log.write('info', 'identity', 'certificate in use', {
          identity, serial, expires: new Date(notAfterMs).toISOString(),
        });
      }
    }
    const error = renewalError ?? (state.kind === 'unavailable' ? state.error : undefined);
    if (error !== undefined) {
      this.#log.write('error', 'identity', 'no new certificate', {
        identity, error: error.message, retry: new Date(status.nextTryMs).toISOString(),
      });
    }
    const before = this.#known.get(identity);
    this.#known.set(identity, state.kind);
    if (before !== undefined && before !== state.kind) this.#revalidate();
  }

  /** Decides all keys again; what is no longer allowed is cut. */
  #revalidate(): void {
    for (const verdicts of this.#table.revalidate()) this.#engine.publishEach(verdicts);
  }

  #servedOptions(netns: string): ServedWorkloadOptions {
    if (this.#identities === undefined) throw new Error('the node proxy has not started');
    const { mark, socks5, originalSource } = this.config;
    return {
      engine: this.#engine, identities: this.#identities, log: this.#log, mark, socks5,
      transparent: originalSource === 'true' || (originalSource === 'auto' && netns !== ''),
      places: this.#places, forwards: this.#forwards,
    };
  }

  #keyOf(upcall: Upcall): FlowKey | undefined {
    const place = this.#places.get(upcall.listener);
    if (place === undefined) return undefined;
    const { sourceIp, local, authority, peerIdentity } = upcall;
    const destination = place.kind === 'forward' ? place.destination : upcall.destination;
    return {
      kind: place.kind, workload: place.workload, sourceIp, destination, local, authority,
      peerIdentity, forwardedHost: upcall.forwardedHost, forwardedNetwork: upcall.forwardedNetwork,
      spoof: this.#spoofs(place, sourceIp),
    };
  }

  /** Answers to a foreign source address come back only in a namespace prepared for it, or on lo. */
  #spoofs(place: ListenerPlace, sourceIp: string): boolean {
    if (this.config.originalSource !== 'auto') return this.config.originalSource === 'true';
    return place.netns === '' ? isLoopback(sourceIp) : place.transparent;
  }

  #decide(key: FlowKey): Decision {
    const source = this.#state.workload(key.workload);
    if (source !== undefined && isForeign(key, source)) return refuseForeign(key, source);
    return decide(this.#state, key, this.#routing);
  }

  /** Flows that end well are logged at info; below, nobody needs to hear of them. */
  #chooseSummaries(): void {
    if (this.#stopping === undefined) this.#engine.summarizeComplete(this.#log.isEnabled('info'));
  }

  #onSummary(summary: FlowSummary): void {
    const local = this.#places.get(summary.listener)?.address ?? '';
    logFlow(this.#log, summary, this.#table.storyOf(summary) ?? { local });
  }

  #onNotice(notice: Notice): void {
    logNotice(this.#log, notice, this.#places.get(notice.listener)?.address ?? '');
  }

  #surfaces(): NodeSurfaces {
    return {
      metrics: this.#metrics, log: this.#log,
      dump: () => this.#dump(),
      flows: () => this.#engine.flows(),
      tunnels: () => this.#engine.tunnels(),
      storyOf: (flow) => this.#table.storyOf(flow),
      quit: () => void this.drain(),
    };
  }

  #dump(): object {
    return configDump({
      view: this.#state, identities: this.#identities?.list() ?? [],
      served: this.#mesh.list()
        .map(({ workload, state, error }) => ({ uid: workload.uid, state, error })),
      config: { ...this.config, shards: this.#engine.options.shards },
      version: { version: packageVersion, node: process.version }, meshError: this.#meshError,
    });
  }

  #addMetrics(): void {
    addNodeMetrics(this.#metrics, {
      engine: this.#engine, log: this.#log, version: packageVersion,
      generation: () => this.#state.generation,
      meshErrors: () => this.#meshErrors,
      meshRefused: () => this.#meshError !== '',
      flowKeys: () => this.#table.size,
      served: (state) => this.#mesh.count(state),
      firstExpiry: () => this.#firstExpiry(),
    });
  }

  #firstExpiry(): number {
    const times = (this.#identities?.list() ?? []).flatMap(({ state }) =>
      state.kind === 'available' ? [state.certificate.notAfterMs / 1000] : []);
    return times.length === 0 ? 0 : Math.min(...times);
  }
}

/** Starts a node proxy; see NodeProxy. */
export function createNodeProxy(options: NodeProxyOptions): Promise<NodeProxy> {
  return NodeProxy.start(options);
}
