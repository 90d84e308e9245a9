import { formatAddress, isIpv6, isLoopback, parseHostPort } from '../model/address.js';
import type { Decision, FlowKey, RoutedEndpoint } from '../model/decision.js';
import type { GatewayAddress, Service, Workload } from '../model/resources.js';
import { parseSpiffeId } from '../model/spiffe_id.js';
import { serviceKey, type MeshView, type ServiceEndpoint } from '../state/view.js';
import { selectTargets } from './balance.js';
import { denied, explanation } from './explain.js';
import { baggageHeader, identityOf } from './labels.js';
import { serviceByName } from './names.js';
import type { RoutingOptions } from './options.js';
import { partiesOf } from './parties.js';

interface Asked {
  readonly state: MeshView;
  readonly key: FlowKey;
  readonly options: RoutingOptions;
  readonly source: Workload;
}

/** A flow that the workload opens: captured by its original destination, or by SOCKS5. */
export function decideOutbound(state: MeshView, key: FlowKey, options: RoutingOptions): Decision {
  const source = state.workload(key.workload);
  if (source === undefined) {
    return denied(key, 'unknown-local', partiesOf('source', {}),
      `the workload ${key.workload} of this listener is not known`);
  }
  const asked = { state, key, options, source };
  const parties = partiesOf('source', { source });
  const wanted = parseHostPort(key.authority === '' ? key.destination : key.authority);
  if (wanted === undefined) {
    return denied(key, 'bad-request', parties, 'the destination is no address');
  }
  const { host, ip, port } = wanted;
  if (ip === undefined) return toName(asked, host, port);
  if (ip === '0.0.0.0' || ip === '::') {
    return denied(key, 'bad-request', parties, `${ip} is no destination`);
  }
  if (options.ownAddresses.has(formatAddress(ip, port))
    || (options.ownPorts.has(port) && (isLoopback(ip) || source.ips.includes(ip)))) {
    return denied(key, 'recursion', parties,
      `${formatAddress(ip, port)} is one of the node proxy's own ports`);
  }
  const workload = state.workloadByIp(source.network, ip);
  if (workload !== undefined) return toWorkload(asked, workload, ip, port);
  const service = state.serviceByVip(source.network, ip, source.namespace);
  if (service !== undefined) return toService(asked, service, ip, port);
  return passthrough(asked, ip, port, undefined);
}

function toName(asked: Asked, host: string, port: number): Decision {
  const { state, key, options, source } = asked;
  const service = serviceByName(state, host, source.namespace, options.clusterDomain);
  if (service === undefined) {
    return denied(key, 'unknown-destination', partiesOf('source', { source }),
      `${host} is the name of no service that ${source.namespace} can see`);
  }
  const family = source.ips[0] ?? '';
  const ours = service.vips.filter((vip) => vip.network === source.network).map((vip) => vip.ip);
  const vip = ours.find((ip) => isIpv6(ip) === isIpv6(family)) ?? ours[0];
  return toService(asked, service, vip, port);
}

function toWorkload(asked: Asked, workload: Workload, ip: string, port: number): Decision {
  const { key, source } = asked;
  if (workload.waypoint !== undefined) {
    const what = `workload ${workload.uid}`;
    return behindWaypoint(asked, what, workload.waypoint, undefined, workload);
  }
  return {
    allow: true,
    endpoints: [toTarget(asked, { workload, ip, port, weight: 1 }, undefined)],
    responseHeaders: [],
    explanation: explanation(key, `${ip} is the workload ${workload.uid}, reached by `
      + `${workload.protocol} from ${source.uid}`),
  };
}

/** `vip` is what was asked for, or an address of the service; undefined when it has none. */
function toService(
  asked: Asked, service: Service, vip: string | undefined, port: number,
): Decision {
  const { state, key, source } = asked;
  const name = serviceKey(service);
  const weighted = service.weightedWaypoints.find(({ weight }) => weight > 0)?.destination;
  const waypoint = weighted ?? service.waypoint;
  if (waypoint !== undefined) {
    return behindWaypoint(asked, `service ${name}`, waypoint, service, undefined);
  }
  const parties = partiesOf('source', { source, service });
  if (service.loadBalancer.mode === 'passthrough') {
    return vip !== undefined ? passthrough(asked, vip, port, service)
      : denied(key, 'unknown-destination', parties,
        `the service ${name} passes through to the address asked for, and there is none`);
  }
  if (!service.ports.has(port)) {
    return denied(key, 'no-endpoint', parties, `the service ${name} has no port ${port}; it has `
      + ([...service.ports.keys()].sort((a, b) => a - b).join(', ') || 'none'));
  }
  const endpoints = state.endpointsOf(name);
  const preferIpv6 = isIpv6(vip ?? source.ips[0] ?? '');
  const routed = serviceEndpoints(asked, service, endpoints, port, preferIpv6);
  if (routed.endpoints.length === 0) {
    const why = endpoints.length === 0 ? 'it has none' : routed.leftOut;
    return denied(key, 'no-endpoint', parties, `no usable endpoint of the service ${name}: ${why}`);
  }
  const leftOut = routed.leftOut === '' ? '' : `; left out: ${routed.leftOut}`;
  return {
    allow: true,
    endpoints: routed.endpoints,
    responseHeaders: [],
    explanation: explanation(key, `${routed.endpoints.length} of ${endpoints.length} endpoints of `
      + `the service ${name} at port ${port}${leftOut}`),
  };
}

interface Routed {
  readonly source: Workload;
  readonly service: Service;
  readonly options: RoutingOptions;
  readonly endpoints: readonly RoutedEndpoint[];
  readonly leftOut: string;
}

/**
 * Routed endpoints by the endpoint array they were made from: deciding again for many keys of the
 * same source and service, as after every change, makes them once.
 */
const routedOf = new WeakMap<readonly ServiceEndpoint[], Map<string, Routed>>();

function serviceEndpoints(
  asked: Asked, service: Service, endpoints: readonly ServiceEndpoint[], port: number,
  preferIpv6: boolean,
): Routed {
  const { source, options } = asked;
  let known = routedOf.get(endpoints);
  if (known === undefined) routedOf.set(endpoints, known = new Map<string, Routed>());
  const name = `${preferIpv6 ? 6 : 4} ${port} ${source.uid}`;
  const before = known.get(name);
  if (before?.source === source && before.service === service && before.options === options) {
    return before;
  }
  const { targets, leftOut } = selectTargets(source, service, endpoints, port,
    { preferIpv6, targetsMax: options.endpointsMax });
  const routed = {
    source, service, options, leftOut,
    endpoints: targets.map((target) => toTarget(asked, target, service)),
  };
  known.set(name, routed);
  return routed;
}

function toTarget(
  { source, options }: Asked,
  target: { workload: Workload; ip: string; port: number; weight: number },
  service: Service | undefined,
): RoutedEndpoint {
  const { workload, ip, port, weight } = target;
  const hbone = workload.protocol === 'hbone';
  const identity = identityOf(workload);
  const peers = (service?.subjectAltNames ?? [])
    .filter((name) => parseSpiffeId(name) !== undefined);
  return {
    protocol: hbone ? 'hbone' : 'tcp',
    dial: formatAddress(ip, hbone ? options.hbonePort : port),
    bind: bindOf(source, ip),
    sourceIdentity: hbone ? identityOf(source) : '',
    authority: hbone ? formatAddress(ip, port) : '',
    peers: hbone ? [...new Set([...peers, identity])] : [],
    headers: hbone ? baggageHeader(source) : [],
    forwardedHost: hbone ? service?.hostname ?? '' : '',
    weight,
    workload: workload.uid,
    parties: partiesOf('source', {
      source, destination: workload, service,
      ...(hbone ? {
        sourcePrincipal: identityOf(source), destinationPrincipal: identity, security: 'mutual_tls',
      } : {}),
    }),
  };
}

/** Plain TCP to where the workload wanted to go. */
function passthrough(
  { key, source }: Asked, ip: string, port: number, service: Service | undefined,
): Decision {
  return {
    allow: true,
    endpoints: [{
      protocol: 'tcp', dial: formatAddress(ip, port), bind: bindOf(source, ip), sourceIdentity: '',
      authority: '', peers: [], headers: [], forwardedHost: '', weight: 1, workload: '',
      parties: partiesOf('source', { source, service }),
    }],
    responseHeaders: [],
    explanation: explanation(key, service === undefined
      ? `${ip} is nothing the mesh knows in network ${JSON.stringify(source.network)}: passed `
        + 'through'
      : `the service ${serviceKey(service)} passes through`),
  };
}

/**
 * In a network namespace of its own the kernel picks the workload's address; in a shared one we
 * have to say whose flow this is.
 */
function bindOf(source: Workload, dialIp: string): string {
  if (source.netns !== '') return '';
  return source.ips.find((ip) => isIpv6(ip) === isIpv6(dialIp)) ?? '';
}

/** What must pass a waypoint never goes round it. */
function behindWaypoint(
  { key, source }: Asked, what: string, { destination }: GatewayAddress,
  service: Service | undefined, workload: Workload | undefined,
): Decision {
  const name = destination.kind === 'host' ? `${destination.namespace}/${destination.hostname}`
    : `${destination.network}/${destination.ip}`;
  return {
    ...denied(key, 'no-endpoint', partiesOf('source', { source, service, destination: workload }),
      `the ${what} is behind the waypoint ${name}, and this node proxy does not route through `
      + 'waypoints yet'),
    live: 'close',
  };
}
