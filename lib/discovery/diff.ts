import { isDeepStrictEqual } from 'node:util';

import type { Delta, ResourceKey } from '../model/resources.js';
import type { Mesh } from './parse_mesh.js';

export const emptyMesh: Mesh = { workloads: new Map(), services: new Map(), policies: new Map() };

export interface Difference {
  readonly delta: Delta;
  /** `after`, holding the objects of `before` wherever nothing changed. */
  readonly mesh: Mesh;
}

/** What leads from one mesh to the other. */
export function diffMesh(before: Mesh, after: Mesh): Difference {
  const workloads = diffMap(before.workloads, after.workloads);
  const services = diffMap(before.services, after.services);
  const policies = diffMap(before.policies, after.policies);
  return {
    delta: {
      workloads: workloads.changed, services: services.changed, policies: policies.changed,
      removedWorkloads: workloads.removed, removedServices: services.removed,
      removedPolicies: policies.removed,
    },
    mesh: { workloads: workloads.merged, services: services.merged, policies: policies.merged },
  };
}

function diffMap<Noun>(
  before: ReadonlyMap<ResourceKey, Noun>, after: ReadonlyMap<ResourceKey, Noun>,
): { changed: Noun[]; removed: ResourceKey[]; merged: Map<ResourceKey, Noun> } {
  const changed: Noun[] = [];
  const merged = new Map<ResourceKey, Noun>();
  for (const [key, noun] of after) {
    const old = before.get(key);
    if (old !== undefined && isDeepStrictEqual(old, noun)) {
      merged.set(key, old);
    } else {
      changed.push(noun);
      merged.set(key, noun);
    }
  }
  const removed = [...before.keys()].filter((key) => !after.has(key));
  return { changed, removed, merged };
}

export function isEmptyDelta(delta: Delta): boolean {
  return Object.values(delta).every((list: readonly unknown[]) => list.length === 0);
}
