/** What the runner asks of a system under test, and what it gives it. */

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export type LayoutName = 'loopback' | 'netns';

/** The client's side (`near`) and the server's (`far`). On loopback both are the same machine. */
export type Side = 'near' | 'far';

/**
 * Where the parts of one run live. `loopback`: one network. `netns`: the generator's client and the
 * first proxy in one network namespace, the second proxy and the server in another.
 */
export interface Layout {
  readonly name: LayoutName;
  /** Address of the client-side proxy: loopback 127.0.0.x, netns 10.x. */
  readonly nearHost: string;
  /** Address of the server-side proxy. */
  readonly farHost: string;
  /** Where the load generator's server listens. */
  readonly serverHost: string;
  /** Argv prefix that runs a program on that side: [] on loopback, `ip netns exec NAME` in netns. */
  inside(side: Side): readonly string[];
  /** A TCP port that was free on that side a moment ago. */
  freePort(side: Side): Promise<number>;
  /**
   * Whether so many sockets of this layout, default 1, listen on this TCP port of that side; reads
   * the kernel's table only, for a trial connection would be the first flow of the system.
   */
  isListening(side: Side, port: number, least?: number): Promise<boolean>;
  /** `netns` only: path of the side's network namespace. */
  netns?(side: Side): string;
  /**
   * `netns` only: what is connected from that side to the TCP port is redirected to the port `to`
   * of its own, with its original destination known; nothing else is tracked.
   */
  capture?(side: Side, port: number, to: number): void;
}

export interface Peer {
  readonly name: string;
  readonly side: Side;
  readonly pid: number;
  /** From its start until it was ready; undefined before, and where nobody waited. */
  readonly readyMs?: number | undefined;
}

export interface RunningSystem {
  /** Where the generator's client connects. */
  readonly entry: Endpoint;
  /** Whose CPU and memory are counted; none for `direct`. */
  readonly proxies: readonly Peer[];
  /** One for each identity that was asked for; `entry` is the first. */
  readonly entries?: readonly Endpoint[];
  /** A system that is its own load: what it did in about so many seconds. */
  work?(seconds: number): Promise<OwnWork>;
}

export interface OwnWork {
  readonly operations: number;
  readonly seconds: number;
}

export interface SystemContext {
  readonly layout: Layout;
  /** The generator's server, already listening. */
  readonly server: Endpoint;
  /** Private directory for configurations, certificates and logs. */
  readonly scratch: string;
  /** Directory that all systems of the run have in common; see systems/certificates.ts. */
  readonly shared: string;
  /** How many workloads the near proxy serves, each with an identity; only our own honour it. */
  readonly identities: number;
  /** Whether a tunnel stays open when its last flow has ended; only our own honour it. */
  readonly tunnelsKept: boolean;
  /** Worker threads per proxy. */
  readonly shards: number;
  /** How many policies the mesh has; only our own systems honour it. */
  readonly policies: number;
  /**
   * Starts a process on a side, its output to a log in `scratch`. Resolves once `ready` does to
   * true (polled); rejects with the tail of the log if the process ends before. The runner ends it
   * and its process group.
   */
  launch(side: Side, name: string, argv: readonly string[],
    ready: () => Promise<boolean>): Promise<Peer>;
  readonly signal: AbortSignal;
}

export interface System {
  /** As on the command line. */
  readonly name: string;
  /** One line: what a byte passes. */
  readonly path: string;
  /** `http`: only HTTP workloads. */
  readonly carries: 'bytes' | 'http';
  /** Of one proxy, for each flow; default 2. */
  readonly descriptorsPerFlow?: number;
  /** Uses a processor even when nothing is asked of it, so that it ends after each workload. */
  readonly restless?: boolean;
  /** The workloads that it says something about, by name; default: all that it can carry. */
  readonly workloads?: readonly string[];
  /** The version, or why it is absent. */
  probe(layout: LayoutName): Promise<{ version: string } | { absent: string }>;
  start(context: SystemContext): Promise<RunningSystem>;
}
