import { X509Certificate } from 'node:crypto';

import type { IdentityStatus } from '../identity/manager.js';
import type {
  Authorization, GatewayAddress, Locality, Match, Service, StringMatch, Workload,
} from '../model/resources.js';
import { policyKey, type MeshView } from '../state/view.js';

/** The dump has the shape of ztunnel's, so that its readers read ours. Empty optional fields are left out. */
type Json = Record<string, unknown>;

export interface ServedDump {
  readonly uid: string;
  readonly state: string;
  readonly error: string;
}

export interface DumpParts {
  readonly view: MeshView;
  readonly identities: readonly IdentityStatus[];
  readonly served: readonly ServedDump[];
  readonly config: Json;
  readonly version: Json;
  /** Why the mesh file on disk is not what is shown; '' when it is. */
  readonly meshError: string;
}

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);
const camel = (word: string): string => word.split('-').map(capital).join('');
const sorted = <T>(items: Iterable<T>, key: (item: T) => string): T[] =>
  [...items].sort((a, b) => (key(a) < key(b) ? -1 : 1));

function compact(fields: Json): Json {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined
    && value !== '' && value !== false && !(Array.isArray(value) && value.length === 0)));
}

function gateway(address: GatewayAddress | undefined): Json | undefined {
  if (address === undefined) return undefined;
  const { destination, hboneMtlsPort } = address;
  const text = destination.kind === 'host' ? `${destination.namespace}/${destination.hostname}`
    : `${destination.network}/${destination.ip}`;
  return { destination: text, hboneMtlsPort };
}

const locality = (place: Locality): Json | undefined =>
  (Object.values(place).every((part) => part === '') ? undefined : { ...place });

function applicationTunnel({ applicationTunnel: tunnel }: Workload): Json | undefined {
  if (tunnel === undefined) return undefined;
  return { protocol: tunnel.protocol.toUpperCase(), port: tunnel.port ?? null };
}

const portsOf = (ports: ReadonlyMap<number, number>): Json => Object.fromEntries(ports);

function workload(one: Workload): Json {
  return {
    ...compact({
      uid: one.uid, name: one.name, trustDomain: one.trustDomain,
      serviceAccount: one.serviceAccount, network: one.network,
      waypoint: gateway(one.waypoint), networkGateway: gateway(one.networkGateway),
      workloadName: one.workloadName, canonicalName: one.canonicalName,
      canonicalRevision: one.canonicalRevision, hostname: one.hostname, node: one.node,
      nativeTunnel: one.nativeTunnel, applicationTunnel: applicationTunnel(one),
      authorizationPolicies: one.authorizationPolicies, clusterId: one.clusterId,
      locality: locality(one.locality), netns: one.netns,
    }),
    workloadIps: one.ips, namespace: one.namespace, protocol: one.protocol.toUpperCase(),
    networkMode: camel(one.networkMode),
    workloadType: one.workloadType, status: capital(one.status), capacity: one.capacity,
    services: Object.fromEntries([...one.services].map(([key, ports]) => [key, portsOf(ports)])),
  };
}

function service(one: Service, view: MeshView): Json {
  const key = `${one.namespace}/${one.hostname}`;
  const { mode, scopes, healthPolicy } = one.loadBalancer;
  const endpoints = view.endpointsOf(key).map(({ workload: behind, ports }) => [behind.uid, {
    workloadUid: behind.uid, port: portsOf(ports), status: capital(behind.status),
  }]);
  return {
    name: one.name, namespace: one.namespace, hostname: one.hostname,
    vips: one.vips.map(({ network, ip }) => `${network}/${ip}`),
    ports: portsOf(one.ports), endpoints: Object.fromEntries(endpoints),
    subjectAltNames: one.subjectAltNames, canonical: one.canonical,
    visibility: capital(one.visibility),
    ...compact({
      cidrVips: one.cidrVips, waypoint: gateway(one.waypoint),
      weightedWaypoints: one.weightedWaypoints.map(({ destination, weight }) =>
        ({ destination: gateway(destination), weight })),
      loadBalancer: mode === 'standard' && healthPolicy === 'only-healthy' ? undefined : {
        routingPreferences: scopes.map(capital), mode: capital(mode), healthPolicy: camel(healthPolicy),
      },
      ipFamilies: one.ipFamilies === 'automatic' ? undefined
        : { ipv4: 'IPv4', ipv6: 'IPv6', dual: 'Dual' }[one.ipFamilies],
    }),
  };
}

const stringMatch = (match: StringMatch): Json =>
  match.kind === 'presence' ? { Presence: [] } : { [capital(match.kind)]: match.value };

function matchOf(match: Match): Json {
  return compact({
    ...match,
    namespaces: match.namespaces.map(stringMatch), notNamespaces: match.notNamespaces.map(stringMatch),
    principals: match.principals.map(stringMatch), notPrincipals: match.notPrincipals.map(stringMatch),
  });
}

function policy(one: Authorization): Json {
  return {
    name: one.name, namespace: one.namespace, scope: camel(one.scope), action: capital(one.action),
    rules: one.rules.map((rule) => rule.map((clause) => clause.map(matchOf))),
    dryRun: one.dryRun,
  };
}

const time = (ms: number): string => new Date(ms).toISOString().replace(/\.000Z$/, 'Z');

function certificatesIn(pem: string): Json[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => {
    const certificate = new X509Certificate(block);
    return {
      pem: Buffer.from(`${block}\n`).toString('base64'),
      serialNumber: BigInt(`0x${certificate.serialNumber}`).toString(),
      validFrom: time(Date.parse(certificate.validFrom)),
      expirationTime: time(Date.parse(certificate.validTo)),
    };
  });
}

function certificate(status: IdentityStatus): Json {
  const { identity, state, renewalError } = status;
  if (state.kind !== 'available') {
    const shown = state.kind === 'initializing' ? 'Initializing' : `Unavailable: ${state.error.message}`;
    return { identity, state: shown, certChain: [], rootCerts: [] };
  }
  return {
    identity, state: 'Available',
    certChain: certificatesIn(state.certificate.chainPem),
    rootCerts: certificatesIn(state.certificate.rootsPem),
    ...(renewalError === undefined ? {} : { renewalError: renewalError.message }),
  };
}

/** Never a private key. */
export function configDump(parts: DumpParts): Json {
  const { view } = parts;
  return {
    workloads: sorted(view.workloads(), ({ uid }) => uid).map(workload),
    services: sorted(view.services(), ({ hostname, namespace }) => `${hostname}/${namespace}`)
      .map((one) => service(one, view)),
    policies: sorted(view.policies(), policyKey).map(policy),
    stagedServices: {},
    staticConfig: { workloads: [], services: [], policies: [] },
    version: parts.version,
    config: parts.config,
    certificates: parts.identities.map(certificate),
    workloadState: Object.fromEntries(parts.served.map(({ uid, state, error }) => [uid, compact({
      state: state === 'up' ? 'Up' : 'Pending', error,
    })])),
    generation: view.generation,
    ...(parts.meshError === '' ? {} : { meshError: parts.meshError }),
  };
}
