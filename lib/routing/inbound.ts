import {
  formatAddress, isIpv6, isLoopback, isUnspecified, parseHostPort, type HostPort,
} from '../model/address.js';
import type { Allowed, Decision, Denied, FlowKey, FlowParties } from '../model/decision.js';
import type { Service, Workload } from '../model/resources.js';
import { parseSpiffeId } from '../model/spiffe_id.js';
import { authorize } from '../policy/authorize.js';
import { serviceKey, type MeshView } from '../state/view.js';
import { denied, explanation } from './explain.js';
import { baggageHeader, identityOf } from './labels.js';
import type { RoutingOptions } from './options.js';
import { partiesOf } from './parties.js';

interface Asked {
  readonly state: MeshView;
  readonly key: FlowKey;
  readonly options: RoutingOptions;
  readonly local: Workload;
}

/** A tunnel's CONNECT to a workload of ours: RFC 9110 9.3.6 with the peer's verified identity. */
export function decideHbone(state: MeshView, key: FlowKey, options: RoutingOptions): Decision {
  const local = state.workload(key.workload);
  if (local === undefined) return unknownLocal(key);
  const asked = { state, key, options, local };
  const parties = inboundParties(asked, undefined);
  const authority = parseHostPort(key.authority);
  if (authority === undefined) {
    return denied(key, 'bad-request', parties,
      `the authority ${JSON.stringify(key.authority)} is not host:port`);
  }
  if (parseSpiffeId(key.peerIdentity) === undefined) {
    return denied(key, 'denied', parties,
      `the peer identity ${JSON.stringify(key.peerIdentity)} is not a workload's SPIFFE id`);
  }
  if (local.applicationTunnel?.protocol === 'proxy') {
    return denied(key, 'unknown-local', parties,
      `the workload ${local.uid} wants PROXY headers, which this node proxy does not send yet`);
  }
  const arrived = arrivedAt(key);
  const hop = authority.ip === undefined ? hopOfName(asked, authority, arrived)
    : hopOfIp(asked, authority.ip, authority.port, arrived);
  return 'allow' in hop ? hop : admit(asked, hop.ip, hop.port);
}

/** A plain connection to a workload of ours, redirected to us. */
export function decidePlaintext(state: MeshView, key: FlowKey, options: RoutingOptions): Decision {
  const local = state.workload(key.workload);
  if (local === undefined) return unknownLocal(key);
  const asked = { state, key, options, local };
  const wanted = parseHostPort(key.destination);
  if (wanted?.ip === undefined) {
    return denied(key, 'bad-request', inboundParties(asked, undefined),
      'the destination is no address');
  }
  // Otherwise whoever reaches this port could have us connect anywhere.
  if (!local.ips.includes(wanted.ip) && wanted.ip !== arrivedAt(key)) {
    return denied(key, 'bad-request', inboundParties(asked, wanted.port),
      `${wanted.ip} is not an address of the workload ${local.uid}`);
  }
  return admit(asked, wanted.ip, wanted.port);
}

/** '' when a listener of every address does not tell: connecting to that would be to the loopback. */
function arrivedAt(key: FlowKey): string {
  const ip = parseHostPort(key.local)?.ip ?? '';
  return isUnspecified(ip) ? '' : ip;
}

interface Hop {
  readonly ip: string;
  readonly port: number;
}

function hopOfIp(asked: Asked, ip: string, port: number, arrived: string): Hop | Denied {
  const { key, local } = asked;
  if (!local.ips.includes(ip) && (ip !== arrived || isLoopback(ip))) {
    return denied(key, 'bad-request', inboundParties(asked, port),
      `ip mismatch: ${ip} is not an address of the workload ${local.uid}`);
  }
  return { ip, port: local.applicationTunnel?.port ?? port };
}

/** Across networks the peer knows only the service; it must be one of this workload's. */
function hopOfName(asked: Asked, { host, port }: HostPort, arrived: string): Hop | Denied {
  const { state, key, local } = asked;
  const service = state.serviceByHostname(host, local.namespace);
  if (service === undefined) {
    return denied(key, 'unknown-destination', inboundParties(asked, undefined),
      `${host} is the name of no service`);
  }
  const parties = { ...inboundParties(asked, undefined), service };
  const mapped = local.services.get(serviceKey(service));
  if (mapped === undefined) {
    return denied(key, 'bad-request', parties,
      `the workload ${local.uid} is no endpoint of the service ${serviceKey(service)}`);
  }
  const target = local.applicationTunnel?.port || mapped.get(port) || service.ports.get(port) || 0;
  if (target === 0) {
    return denied(key, 'no-endpoint', parties,
      `the service ${serviceKey(service)} has no target for port ${port}`);
  }
  const ip = local.ips.includes(arrived) ? arrived : local.ips[0] ?? arrived;
  if (ip === '') {
    return denied(key, 'no-endpoint', parties, `the workload ${local.uid} has no address`);
  }
  return { ip, port: target };
}

function admit(asked: Asked, ip: string, port: number): Decision {
  const { state, key, options, local } = asked;
  const parties = inboundParties(asked, port);
  if (options.ownPorts.has(port) || options.ownAddresses.has(formatAddress(ip, port))) {
    return denied(key, 'recursion', parties, `port ${port} is one of the node proxy's own`);
  }
  const result = authorize(state.policiesFor(local), {
    sourceIp: key.sourceIp, identity: key.peerIdentity, destinationIp: ip, destinationPort: port,
  });
  const more = { policy: result.policy, dryRun: result.dryRun };
  if (!result.allowed) {
    return denied(key, 'denied', parties,
      `connection closed due to policy rejection: ${result.text}`, more);
  }
  const spoof = key.spoof && key.sourceIp !== ip && isIpv6(key.sourceIp) === isIpv6(ip);
  const allowed: Allowed = {
    allow: true,
    endpoints: [{
      protocol: 'tcp', dial: formatAddress(ip, port), bind: spoof ? 'downstream' : '',
      sourceIdentity: '', authority: '', peers: [], headers: [], forwardedHost: '', weight: 1,
      workload: local.uid, parties,
    }],
    responseHeaders: key.kind === 'hbone' ? baggageHeader(local) : [],
    explanation: explanation(key, result.text, more),
  };
  return allowed;
}

function unknownLocal(key: FlowKey): Denied {
  return denied(key, 'unknown-local', partiesOf('destination', {}),
    `the workload ${key.workload} of this listener is not known`);
}

/** `port` is where the application listens; undefined while that is not known. */
function inboundParties({ state, key, local }: Asked, port: number | undefined): FlowParties {
  const tls = key.kind === 'hbone';
  // Addresses of another network mean nothing in ours.
  const foreign = key.forwardedNetwork !== ''
    && key.forwardedNetwork.toLowerCase() !== local.network.toLowerCase();
  const known = foreign ? undefined : state.workloadByIp(local.network, key.sourceIp);
  // The certificate knows better than the address, which may have been given to another since.
  const mistaken = known !== undefined && tls && identityOf(known) !== key.peerIdentity;
  return partiesOf('destination', {
    source: mistaken ? undefined : known,
    sourcePrincipal: key.peerIdentity,
    destination: local,
    service: serviceOf(state, key, local, port),
    ...(tls ? { destinationPrincipal: identityOf(local), security: 'mutual_tls' } : {}),
  });
}

/** The service the flow was meant for: as forwarded when that can be true, else by the port. */
function serviceOf(
  state: MeshView, key: FlowKey, local: Workload, port: number | undefined,
): Service | undefined {
  let byPort: Service | undefined;
  for (const [name, mapped] of local.services) {
    const service = state.service(name);
    if (service === undefined) continue;
    if (key.forwardedHost !== '' && service.hostname === key.forwardedHost) return service;
    if (byPort === undefined && port !== undefined) {
      for (const [servicePort, target] of service.ports) {
        if ((mapped.get(servicePort) || target) === port) byPort = service;
      }
    }
  }
  return byPort;
}
