import { formatAddress } from '../model/address.js';
import type { Delta, ResourceKey, Workload } from '../model/resources.js';
import { identityOf } from '../routing/labels.js';
import type { MeshState } from '../state/mesh_state.js';
import type { Log } from '../telemetry/log.js';
import {
  nodePorts, ServedWorkload, type ServedState, type ServedWorkloadOptions,
} from './served_workload.js';

export interface NodeMeshOptions {
  /** Workloads of this node are served. */
  node: string;
  state: MeshState;
  log: Log;
  serve(workload: Workload): ServedWorkloadOptions;
  /** Pooled tunnels to this `ip:port` belong to a workload that is gone. */
  purge(dial: string): void;
}

/** Keeps the state and the served workloads in step with what discovery delivers. */
export class NodeMesh {
  readonly #options: NodeMeshOptions;
  readonly #served = new Map<ResourceKey, ServedWorkload>();

  constructor(options: NodeMeshOptions) {
    this.#options = options;
  }

  /** Resolves when every workload that is new was tried once. The state has changed when it returns. */
  apply(delta: Delta): Promise<unknown> {
    const { state } = this.#options;
    const touched = [...delta.removedWorkloads, ...delta.workloads.map(({ uid }) => uid)];
    const before = touched.map((uid) => state.workload(uid));
    state.apply(delta);
    for (const workload of before) {
      if (workload !== undefined) this.#purge(workload);
    }
    const started: Promise<void>[] = [];
    // What goes makes room for what comes with the same address.
    for (const uid of delta.removedWorkloads) this.#stop(uid);
    const incoming = delta.workloads.filter((workload) => !this.#keep(workload));
    for (const { uid } of incoming) this.#stop(uid);
    for (const workload of incoming) {
      const served = this.#start(workload);
      if (served !== undefined) started.push(served);
    }
    return Promise.all(started);
  }

  list(): ServedWorkload[] {
    return [...this.#served.values()];
  }

  count(state: ServedState): number {
    return this.list().filter((served) => served.state === state).length;
  }

  /** Ends the retries; the engine ends the listeners. */
  stop(): void {
    for (const served of this.#served.values()) served.retire();
  }

  #purge(before: Workload): void {
    const after = this.#options.state.workload(before.uid);
    const kept = after !== undefined && identityOf(after) === identityOf(before) ? after.ips : [];
    for (const ip of before.ips) {
      if (!kept.includes(ip)) this.#options.purge(formatAddress(ip, nodePorts.hbone));
    }
  }

  /** Whether it is served and goes on under its new record. */
  #keep(workload: Workload): boolean {
    return this.#isOurs(workload) && this.#served.get(workload.uid)?.update(workload) === true;
  }

  #isOurs(workload: Workload): boolean {
    if (workload.node !== this.#options.node || workload.ips.length === 0) return false;
    // One speaks for itself; the other shares the node's addresses with everybody.
    return !workload.nativeTunnel && workload.networkMode !== 'host-network';
  }

  #stop(uid: ResourceKey): void {
    const served = this.#served.get(uid);
    if (served === undefined) return;
    this.#served.delete(uid);
    served.stop(true);
    this.#options.log.write('info', 'node', 'workload is no longer served', { workload: uid });
  }

  #start(workload: Workload): Promise<void> | undefined {
    if (!this.#isOurs(workload)) return undefined;
    const served = new ServedWorkload(workload, this.#options.serve(workload));
    this.#served.set(workload.uid, served);
    return served.start();
  }
}
