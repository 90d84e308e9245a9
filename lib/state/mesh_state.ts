import type { Authorization, Delta, ResourceKey, Service, Workload } from '../model/resources.js';
import { GroupIndex } from './group_index.js';
import { VipIndex } from './vip_index.js';
import {
  policyKey, serviceKey, type MeshView, type PolicySelection, type ServiceEndpoint,
} from './view.js';

const globalGroup = '*';

/**
 * Everything that was delivered about the mesh, indexed for deciding. Resources may come in any
 * order: endpoints of a service, or policies of a workload, that is not known yet are found when it
 * is.
 */
export class MeshState implements MeshView {
  #generation = 1;
  readonly #workloads = new Map<ResourceKey, Workload>();
  readonly #services = new Map<ResourceKey, Service>();
  readonly #policies = new Map<ResourceKey, Authorization>();
  readonly #byIp = new GroupIndex<Workload>();
  readonly #endpoints = new GroupIndex<ServiceEndpoint>();
  readonly #vips = new VipIndex();
  readonly #byHostname = new GroupIndex<Service>();
  readonly #scoped = new GroupIndex<Authorization>();
  /** Per workload object, with the count of policy changes it was made at. */
  readonly #selections = new WeakMap<Workload, { at: number; selection: PolicySelection }>();
  #policyChanges = 0;

  get generation(): number {
    return this.#generation;
  }

  /** Removals, then upserts, as one change. Returns the generation that shows it. */
  apply(delta: Delta): number {
    const size = delta.workloads.length + delta.services.length + delta.policies.length
      + delta.removedWorkloads.length + delta.removedServices.length + delta.removedPolicies.length;
    if (size === 0) return this.#generation;
    this.#policyChanges += delta.policies.length + delta.removedPolicies.length;
    for (const key of delta.removedWorkloads) this.#dropWorkload(key, undefined);
    for (const key of delta.removedServices) this.#dropService(key);
    for (const key of delta.removedPolicies) this.#dropPolicy(key);
    for (const workload of delta.workloads) this.#putWorkload(workload);
    for (const service of delta.services) this.#putService(service);
    for (const policy of delta.policies) this.#putPolicy(policy);
    return ++this.#generation;
  }

  workload(uid: ResourceKey): Workload | undefined {
    return this.#workloads.get(uid);
  }

  workloads(): Iterable<Workload> {
    return this.#workloads.values();
  }

  workloadByIp(network: string, ip: string): Workload | undefined {
    const [first, ...others] = this.#byIp.get(`${network}/${ip}`);
    let best = first;
    for (const other of others) {
      if (best !== undefined && claimRank(other) > claimRank(best)) best = other;
    }
    return best;
  }

  service(key: ResourceKey): Service | undefined {
    return this.#services.get(key);
  }

  services(): Iterable<Service> {
    return this.#services.values();
  }

  policy(key: ResourceKey): Authorization | undefined {
    return this.#policies.get(key);
  }

  policies(): Iterable<Authorization> {
    return this.#policies.values();
  }

  serviceByVip(network: string, ip: string, clientNamespace: string): Service | undefined {
    return preferred(this.#vips.exact(network, ip), clientNamespace)
      ?? preferredBlock(this.#vips.blocks(network, ip), clientNamespace);
  }

  serviceByHostname(hostname: string, clientNamespace: string): Service | undefined {
    return preferred(this.#byHostname.get(hostname), clientNamespace);
  }

  endpointsOf(key: ResourceKey): readonly ServiceEndpoint[] {
    return this.#endpoints.get(key);
  }

  policiesFor(workload: Workload): PolicySelection {
    const known = this.#selections.get(workload);
    if (known?.at === this.#policyChanges) return known.selection;
    const selection = this.#select(workload, known?.selection);
    this.#selections.set(workload, { at: this.#policyChanges, selection });
    return selection;
  }

  #select(workload: Workload, before: PolicySelection | undefined): PolicySelection {
    const selected: Authorization[] = [];
    const unknown: ResourceKey[] = [];
    for (const key of workload.authorizationPolicies) {
      const policy = this.#policies.get(key);
      if (policy === undefined) unknown.push(key);
      else selected.push(policy);
    }
    const same = before?.selected.length === selected.length
      && before.selected.every((policy, index) => policy === selected[index]);
    return {
      global: this.#scoped.get(globalGroup),
      namespace: this.#scoped.get(`/${workload.namespace}`),
      selected: same ? before.selected : selected,
      unknown,
    };
  }

  #putWorkload(workload: Workload): void {
    // Endpoints that stay are replaced in place, so that their service keeps its order.
    this.#dropWorkload(workload.uid, workload);
    this.#workloads.set(workload.uid, workload);
    for (const group of ipGroups(workload)) this.#byIp.put(group, workload.uid, workload);
    for (const [key, ports] of workload.services) {
      this.#endpoints.put(key, workload.uid, { workload, ports });
    }
  }

  #dropWorkload(uid: ResourceKey, successor: Workload | undefined): void {
    const old = this.#workloads.get(uid);
    if (old === undefined) return;
    this.#workloads.delete(uid);
    for (const group of ipGroups(old)) this.#byIp.remove(group, uid);
    for (const key of old.services.keys()) {
      if (!successor?.services.has(key)) this.#endpoints.remove(key, uid);
    }
  }

  #putService(service: Service): void {
    const key = serviceKey(service);
    const old = this.#services.get(key);
    if (old !== undefined) this.#vips.remove(key, old);
    this.#services.set(key, service);
    this.#vips.put(key, service);
    this.#byHostname.put(service.hostname.toLowerCase(), key, service);
  }

  #dropService(key: ResourceKey): void {
    const old = this.#services.get(key);
    if (old === undefined) return;
    this.#services.delete(key);
    this.#vips.remove(key, old);
    this.#byHostname.remove(old.hostname.toLowerCase(), key);
  }

  #putPolicy(policy: Authorization): void {
    const key = policyKey(policy);
    const old = this.#policies.get(key);
    const group = scopeGroup(policy);
    if (old !== undefined && scopeGroup(old) !== group) this.#dropPolicy(key);
    this.#policies.set(key, policy);
    if (group !== '') this.#scoped.put(group, key, policy);
  }

  #dropPolicy(key: ResourceKey): void {
    const old = this.#policies.get(key);
    if (old === undefined) return;
    this.#policies.delete(key);
    const group = scopeGroup(old);
    if (group !== '') this.#scoped.remove(group, key);
  }
}

function ipGroups(workload: Workload): string[] {
  if (workload.networkMode === 'host-network') return [];
  return workload.ips.map((ip) => `${workload.network}/${ip}`);
}

/** '' for policies that apply only to the workloads that name them. */
function scopeGroup(policy: Authorization): string {
  if (policy.scope === 'global') return globalGroup;
  return policy.scope === 'namespace' ? `/${policy.namespace}` : '';
}

function claimRank(workload: Workload): number {
  return (workload.uid.includes('//Pod/') || workload.uid.includes('/v1/Pod/') ? 2 : 0)
    + (workload.protocol === 'hbone' ? 1 : 0);
}

function visible(service: Service, clientNamespace: string): boolean {
  return service.visibility === 'public' || service.namespace === clientNamespace;
}

function preferred(services: readonly Service[], clientNamespace: string): Service | undefined {
  let canonical: Service | undefined;
  let first: Service | undefined;
  for (const service of services) {
    if (!visible(service, clientNamespace)) continue;
    if (service.namespace === clientNamespace) return service;
    if (service.canonical) canonical ??= service;
    first ??= service;
  }
  return canonical ?? first;
}

/** Own namespace wins over length, length over being canonical. */
function preferredBlock(
  byLength: readonly (readonly Service[])[], clientNamespace: string,
): Service | undefined {
  let other: Service | undefined;
  for (const services of byLength) {
    const found = preferred(services, clientNamespace);
    if (found?.namespace === clientNamespace) return found;
    other ??= found;
  }
  return other;
}
