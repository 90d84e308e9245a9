import type { Workload } from '../workloads.js';
import { isMeasured, placesOf, said, type Place } from './compare.js';
import type { Run } from './gather.js';

/** The path that this project is for, and the two forms of the one it is measured against. */
export const nodeProxies = 'hbone';
export const doubleHops: readonly string[] = ['envoy-sidecar', 'envoy-l4'];

const inWords: Readonly<Record<string, string>> = {
  direct: 'a direct connection', relay: 'two plaintext hops',
  'relay-epoll': 'two plaintext hops', hbone: 'the node-proxy path',
  'envoy-sidecar': 'the sidecar double hop', 'envoy-l4': 'two Envoys at L4', ztunnel: 'ztunnel',
};

export const nameInWords = (system: string): string => inWords[system] ?? system;

/** Loads that the answers are made of; of several workloads that with the most flows is taken. */
export type SceneName = 'http' | 'http-one' | 'bulk' | 'ping' | 'ping-one' | 'beside' | 'connect'
  | 'idle';

/** Closed loop, one shard, the usual policies. */
function isPlain(workload: Workload): boolean {
  const { rate, halfOf, shards, policies } = said(workload);
  return [rate, halfOf, shards, policies].every((value) => value === undefined);
}

function isOf(scene: SceneName, workload: Workload): boolean {
  const { work, flows = 0, messageBytes } = said(workload);
  const { kind } = workload;
  if (!isPlain(workload)) return false;
  switch (scene) {
    case 'http': return kind === 'rate' && work === 'http' && flows > 1;
    case 'http-one': return kind === 'rate' && work === 'http' && flows === 1;
    case 'bulk': return kind === 'bulk' && work === 'upload';
    case 'ping': return kind === 'rate' && work === 'ping-pong' && messageBytes === 1
      && flows > 1 && flows <= 64;
    case 'ping-one': return kind === 'rate' && work === 'ping-pong' && messageBytes === 1
      && flows === 1;
    case 'beside': return kind === 'beside';
    case 'connect': return kind === 'rate' && work === 'connect-close';
    case 'idle': return kind === 'idle';
  }
}

/** On the first layout that has it; one where the node proxies were measured, if there is any. */
export function sceneOf(run: Run, scene: SceneName): Place | undefined {
  const found = placesOf(run.rows).filter(({ workload }) => isOf(scene, workload));
  const able = found.filter((place) => isMeasured(place, nodeProxies));
  const candidates = able.length > 0 ? able : found;
  const flows = (place: Place): number => said(place.workload).flows ?? 0;
  const [first] = candidates;
  return candidates.filter(({ layout }) => layout === first?.layout)
    .reduce<Place | undefined>((best, place) =>
      best === undefined || flows(place) > flows(best) ? place : best, undefined);
}

/** The double hop as it is for this load: L7 where it is HTTP, else L4, as sidecars do. */
export function doubleHopOf(place: Place): string {
  const [l7 = '', l4 = ''] = doubleHops;
  return place.workload.carries === 'http' ? l7 : isMeasured(place, l7) ? l7 : l4;
}
