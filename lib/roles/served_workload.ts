import { getSystemErrorName } from 'node:util';

import { messageOf } from '../base/error.js';
import type { Forward } from '../config/forward_option.js';
import type { Handle, ListenerKind } from '../engine/contract.js';
import type { Engine } from '../engine/engine.js';
import { EngineError } from '../engine/error.js';
import type { IdentityManager } from '../identity/manager.js';
import { formatAddress, isIpv6 } from '../model/address.js';
import type { FlowKind } from '../model/decision.js';
import type { Workload } from '../model/resources.js';
import { identityOf } from '../routing/labels.js';
import type { Log } from '../telemetry/log.js';

export const nodePorts = { hbone: 15_008, capture: 15_001, plaintext: 15_006, socks5: 15_080 } as const;

/** What a listener's upcalls are about. */
export interface ListenerPlace {
  readonly workload: string;
  readonly kind: FlowKind;
  readonly netns: string;
  readonly transparent: boolean;
  readonly address: string;
  /** `forward`: where its flows go; else ''. */
  readonly destination: string;
}

export interface ServedWorkloadOptions {
  engine: Engine;
  identities: IdentityManager;
  log: Log;
  mark: number;
  socks5: boolean;
  /** Those of other workloads are passed over. */
  forwards: readonly Forward[];
  /** Ask for IP_TRANSPARENT. */
  transparent: boolean;
  /** Filled and emptied as listeners open and close. */
  places: Map<Handle, ListenerPlace>;
}

export type ServedState = 'pending' | 'up' | 'failed' | 'stopped';

interface Wanted {
  readonly kind: FlowKind;
  readonly address: string;
  readonly destination: string;
  handle: Handle;
}

const retryFirstMs = 1_000;
const retryLastMs = 30_000;

/** What to do about an errno of opening a listener. */
const advice: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there; stopping it, or serving the workload in a network '
    + 'namespace of its own (netns), would be right',
  EADDRNOTAVAIL: 'no interface here has this address; the netns of the workload in the mesh file, or '
    + 'the node that the workload runs on, would be right',
  ENOENT: 'there is no such network namespace; a path such as /run/netns/NAME would be right',
  EPERM: 'not permitted; CAP_SYS_ADMIN and CAP_NET_ADMIN are needed to listen in another namespace',
  EACCES: 'not permitted; CAP_NET_ADMIN (for a mark) or CAP_SYS_ADMIN (for a namespace) is needed',
  EMFILE: 'out of file descriptors; a higher `ulimit -n` would be right',
};

export function listenFailure(error: unknown): string {
  if (!(error instanceof EngineError) || error.number === 0) return messageOf(error);
  let name = '';
  try {
    name = getSystemErrorName(-Math.abs(error.number));
  } catch {
    return error.message;
  }
  const hint = advice[name];
  return `${error.message} (${name})${hint === undefined ? '' : `: ${hint}`}`;
}

/** The listeners and the certificate of one workload on this node. What cannot open is tried again. */
export class ServedWorkload {
  readonly #options: ServedWorkloadOptions;
  readonly #identity: string;
  readonly #wanted: Wanted[];
  #workload: Workload;
  #state: ServedState = 'pending';
  #error = '';
  #failures = 0;
  #hasIdentity = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(workload: Workload, options: ServedWorkloadOptions) {
    this.#workload = workload;
    this.#options = options;
    this.#identity = identityOf(workload);
    this.#wanted = wantedOf(workload, options);
  }

  get workload(): Workload {
    return this.#workload;
  }

  get state(): ServedState {
    return this.#state;
  }

  /** Why it is not up; '' when it is. */
  get error(): string {
    return this.#error;
  }

  /** Takes a newer record; false when its addresses, place or identity changed, and this must stop. */
  update(workload: Workload): boolean {
    const before = this.#workload;
    const same = identityOf(workload) === this.#identity && workload.netns === before.netns
      && workload.ips.join() === before.ips.join();
    if (same) this.#workload = workload;
    return same;
  }

  /** Resolves after the first try, whatever came of it. Never rejects. */
  async start(): Promise<void> {
    try {
      const credential = await this.#credential();
      if (this.#state === 'stopped') return;
      const failed = this.#wanted.filter((one) => one.handle === 0)
        .flatMap((one) => this.#open(one, credential));
      if (failed.length > 0) throw new Error(failed.join('; '));
      this.#state = 'up';
      this.#error = '';
      this.#failures = 0;
      this.#options.log.write('info', 'node', 'workload is served', {
        workload: this.#workload.uid, identity: this.#identity,
        addresses: this.#wanted.map(({ address }) => address).join(','),
      });
    } catch (error) {
      this.#failed(messageOf(error));
    }
  }

  /** Gives up what is not open yet; the engine ends the listeners that are. */
  retire(): void {
    this.#state = 'stopped';
    clearTimeout(this.#timer);
  }

  /** Stops accepting; `flows` also ends the live ones. */
  stop(flows: boolean): void {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    clearTimeout(this.#timer);
    for (const one of this.#wanted) {
      if (one.handle === 0) continue;
      this.#options.engine.closeListener(one.handle, flows);
      this.#options.places.delete(one.handle);
      one.handle = 0;
    }
    this.#releaseIdentity();
  }

  #credential(): Handle | Promise<Handle> {
    const { identities } = this.#options;
    const held = this.#hasIdentity ? identities.handleOf(this.#identity) : undefined;
    if (held !== undefined) return held;
    this.#releaseIdentity();
    this.#hasIdentity = true;
    return identities.acquire(this.#identity);
  }

  #open(one: Wanted, credential: Handle): string[] {
    const { engine, places, mark, transparent } = this.#options;
    const { netns, uid } = this.#workload;
    const kind: ListenerKind = one.kind;
    const holder = this.#holderOf(one.address);
    if (holder !== undefined) {
      return [`${one.address} is served as the workload ${holder}; an address, or a network namespace `
        + '(netns), of its own would be right'];
    }
    try {
      const listening = engine.listen({
        kind, address: one.address, netns, mark, transparent,
        credential: kind === 'hbone' ? credential : 0,
      });
      one.handle = listening.handle;
      places.set(listening.handle, {
        workload: uid, kind: one.kind, netns, transparent: listening.transparent,
        address: listening.address, destination: one.destination,
      });
      return [];
    } catch (error) {
      return [listenFailure(error)];
    }
  }

  /**
   * The kernel would spread connections over the listeners of both, and so give the flows of one the
   * identity of the other. In a namespace all addresses are listened on: it holds one workload.
   */
  #holderOf(address: string): string | undefined {
    const { netns, uid } = this.#workload;
    for (const place of this.#options.places.values()) {
      if (place.workload === uid || place.netns !== netns) continue;
      if (netns !== '' || place.address === address) return place.workload;
    }
    return undefined;
  }

  #failed(why: string): void {
    if (this.#state === 'stopped') return;
    this.#releaseIdentityUnlessListening();
    this.#state = 'failed';
    const known = why === this.#error;
    this.#error = why;
    this.#failures += 1;
    const waitMs = Math.min(retryFirstMs * 2 ** (this.#failures - 1), retryLastMs);
    this.#options.log.write(known ? 'debug' : 'error', 'node', 'workload is not served', {
      workload: this.#workload.uid, error: why, retry: `${waitMs}ms`,
    });
    this.#timer = setTimeout(() => void this.start(), waitMs);
    this.#timer.unref();
  }

  #releaseIdentityUnlessListening(): void {
    if (this.#wanted.every(({ handle }) => handle === 0)) this.#releaseIdentity();
  }

  #releaseIdentity(): void {
    if (!this.#hasIdentity) return;
    this.#hasIdentity = false;
    this.#options.identities.release(this.#identity);
  }
}

function wantedOf(workload: Workload,
  { socks5, forwards }: Pick<ServedWorkloadOptions, 'socks5' | 'forwards'>): Wanted[] {
  const { netns, ips } = workload;
  const one = (kind: keyof typeof nodePorts, ip: string): Wanted =>
    ({ kind, address: formatAddress(ip, nodePorts[kind]), destination: '', handle: 0 });
  // What redirection sends to a port may carry any address of the namespace, so all are listened on;
  // SOCKS5 carries the workload's identity for whoever asks, so only its own namespace may.
  const families = [...new Set(ips.map(isIpv6))];
  const places = netns === '' ? ips : families.includes(true) ? ['::'] : ['0.0.0.0'];
  const local = netns === '' ? ips : families.map((v6) => (v6 ? '::1' : '127.0.0.1'));
  return [
    ...places.flatMap((ip) => [one('hbone', ip), one('capture', ip), one('plaintext', ip)]),
    ...(socks5 ? local.map((ip) => one('socks5', ip)) : []),
    ...forwards.filter(({ ip }) => ips.includes(ip)).map(({ ip, port, destination }): Wanted =>
      ({ kind: 'forward', address: formatAddress(ip, port), destination, handle: 0 })),
  ];
}
