import { isIpv6 } from '../model/address.js';
import type { Scope, Service, Workload } from '../model/resources.js';
import type { ServiceEndpoint } from '../state/view.js';

/** One place behind a service that a flow may go to. */
export interface Target {
  readonly workload: Workload;
  readonly ip: string;
  readonly port: number;
  readonly weight: number;
}

export interface Selection {
  /** May be empty. */
  readonly targets: readonly Target[];
  /** Why endpoints were left out, with counts; '' when none was. */
  readonly leftOut: string;
}

export interface SelectionOptions {
  readonly preferIpv6: boolean;
  readonly targetsMax: number;
}

/** The endpoints of a service that this source may use at this service port. */
export function selectTargets(
  source: Workload, service: Service, endpoints: readonly ServiceEndpoint[], servicePort: number,
  options: SelectionOptions,
): Selection {
  const reasons = new Map<string, number>();
  let targets: Target[] = [];
  for (const endpoint of endpoints) {
    const target = targetOf(source, service, endpoint, servicePort, options.preferIpv6);
    if (typeof target === 'string') reasons.set(target, (reasons.get(target) ?? 0) + 1);
    else targets.push(target);
  }
  const eligible = targets.length;
  targets = byLocality(source, service, targets);
  if (targets.length < eligible && targets.length === 0) reasons.set('not local', eligible);
  return {
    targets: thin(source, targets, options.targetsMax),
    leftOut: [...reasons].map(([reason, count]) => `${count} ${reason}`).join(', '),
  };
}

/** A reason for leaving it out, or the target. */
function targetOf(
  source: Workload, service: Service, { workload, ports }: ServiceEndpoint, servicePort: number,
  preferIpv6: boolean,
): Target | string {
  const numeric = service.ports.get(servicePort);
  if (numeric === undefined) return `without port ${servicePort}`;
  if (workload.status !== 'healthy' && service.loadBalancer.healthPolicy !== 'allow-all') {
    return 'unhealthy';
  }
  if (workload.capacity < 1) return 'with capacity 0';
  if (workload.network !== source.network) return 'in another network, which needs a gateway';
  const port = ports.get(servicePort) || numeric;
  if (port === 0) return `without a target for port ${servicePort}`;
  const ip = pickIp(workload, service, preferIpv6);
  if (ip === undefined) return 'without a usable address';
  return { workload, ip, port, weight: workload.capacity };
}

function pickIp(workload: Workload, service: Service, preferIpv6: boolean): string | undefined {
  const { ipFamilies } = service;
  const allowed = workload.ips.filter((ip) =>
    isIpv6(ip) ? ipFamilies !== 'ipv4' : ipFamilies !== 'ipv6');
  return allowed.find((ip) => isIpv6(ip) === preferIpv6) ?? allowed[0];
}

function byLocality(source: Workload, service: Service, targets: Target[]): Target[] {
  const { mode, scopes } = service.loadBalancer;
  if (scopes.length === 0 || targets.length === 0) return targets;
  if (mode === 'strict') {
    return targets.filter(({ workload }) =>
      scopes.every((scope) => scopeValue(source, scope) === scopeValue(workload, scope)));
  }
  if (mode !== 'failover') return targets;
  const ranked = targets.map((target) =>
    ({ target, rank: localityRank(source, target.workload, scopes) }));
  const best = ranked.reduce((most, { rank }) => Math.max(most, rank), 0);
  return ranked.filter(({ rank }) => rank === best).map(({ target }) => target);
}

/**
 * How many scopes match, in order, up to the first that does not. The network in front is worth
 * more than all others together, and one that differs does not end the count.
 */
export function localityRank(source: Workload, other: Workload, scopes: readonly Scope[]): number {
  const same = (scope: Scope): boolean => scopeValue(source, scope) === scopeValue(other, scope);
  const counted = scopes[0] === 'network' ? scopes.slice(1) : scopes;
  const mismatch = counted.findIndex((scope) => !same(scope));
  const leading = mismatch < 0 ? counted.length : mismatch;
  return counted === scopes || !same('network') ? leading : leading + scopes.length;
}

function scopeValue(workload: Workload, scope: Scope): string {
  switch (scope) {
    case 'region': case 'zone': case 'subzone': return workload.locality[scope];
    case 'node': return workload.node;
    case 'cluster': return workload.clusterId;
    case 'network': return workload.network;
  }
}

/**
 * At most so many targets. Each source gets a share of its own that changes little when endpoints
 * come and go: the highest scores of a hash over the pair.
 */
function thin(source: Workload, targets: readonly Target[], targetsMax: number): readonly Target[] {
  if (targets.length <= targetsMax) return targets;
  const score = new Map(targets.map((target) =>
    [target, hash(`${source.uid}|${target.workload.uid}`)]));
  return [...targets].sort((a, b) => (score.get(b) ?? 0) - (score.get(a) ?? 0))
    .slice(0, targetsMax);
}

/** FNV-1a with a final mix. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ value >>> 15, 0x2c1b3c6d);
  return (value ^ value >>> 13) >>> 0;
}
