import type { Authorization, ResourceKey, Service, Workload } from '../model/resources.js';

/** A workload behind a service: one record per pair, kept until either is replaced. */
export interface ServiceEndpoint {
  readonly workload: Workload;
  /** Service port to target port, as this workload maps it; may lack ports. */
  readonly ports: ReadonlyMap<number, number>;
}

/**
 * What applies to connections to a workload. The groups keep their identity until one of their
 * policies changes, so whatever was compiled from them can be kept beside them.
 */
export interface PolicySelection {
  readonly global: readonly Authorization[];
  readonly namespace: readonly Authorization[];
  /** Policies the workload names itself, in its order. */
  readonly selected: readonly Authorization[];
  /** Keys the workload names that nobody delivered. */
  readonly unknown: readonly ResourceKey[];
}

/** The mesh as it is now, for deciding. Nothing handed out is ever changed in place. */
export interface MeshView {
  /** Rises with every change. */
  readonly generation: number;
  workload(uid: ResourceKey): Workload | undefined;
  workloads(): Iterable<Workload>;
  /** The best claimant of the address; host-network workloads share theirs and are not found. */
  workloadByIp(network: string, ip: string): Workload | undefined;
  service(key: ResourceKey): Service | undefined;
  services(): Iterable<Service>;
  policy(key: ResourceKey): Authorization | undefined;
  policies(): Iterable<Authorization>;
  /**
   * The service that a client of this namespace means by the address: its own namespace's first,
   * then the canonical one, then the first known. Exact addresses win over blocks, long blocks over
   * short.
   */
  serviceByVip(network: string, ip: string, clientNamespace: string): Service | undefined;
  /** As by address; `hostname` in lower case. */
  serviceByHostname(hostname: string, clientNamespace: string): Service | undefined;
  /** Same array until an endpoint or its workload changes. */
  endpointsOf(key: ResourceKey): readonly ServiceEndpoint[];
  policiesFor(workload: Workload): PolicySelection;
}

export function serviceKey(service: { namespace: string; hostname: string }): ResourceKey {
  return `${service.namespace}/${service.hostname}`;
}

export function policyKey(policy: { namespace: string; name: string }): ResourceKey {
  return `${policy.namespace}/${policy.name}`;
}
