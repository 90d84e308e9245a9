import { canonicalIp } from '../model/address.js';
import type { GatewayAddress, Locality, ResourceKey, Workload } from '../model/resources.js';
import type { Place, YamlReader } from './yaml_reader.js';

const workloadKeys = [
  'uid', 'name', 'namespace', 'trustDomain', 'serviceAccount', 'workloadIps', 'network',
  'networkMode', 'protocol', 'waypoint', 'networkGateway', 'workloadName', 'workloadType',
  'canonicalName', 'canonicalRevision', 'hostname', 'node', 'nativeTunnel', 'applicationTunnel',
  'authorizationPolicies', 'status', 'clusterId', 'locality', 'capacity', 'services', 'netns',
] as const;

const portMost = 65_535;
const noLocality: Locality = { region: '', zone: '', subzone: '' };

export const statusWords = { Healthy: 'healthy', Unhealthy: 'unhealthy' } as const;

const typeWords = ['deployment', 'cronjob', 'pod', 'job'] as const;

/** Identity parts become segments of a SPIFFE id. */
const segment = /^[A-Za-z0-9._-]+$/;

function identityPart(reader: YamlReader, place: Place, fallback: string): string {
  const text = reader.name(place) || fallback;
  if (!segment.test(text)) {
    reader.error(place, `${JSON.stringify(text)} cannot be part of a SPIFFE id; expected letters, `
      + 'digits, dots, dashes and underscores');
  }
  return text;
}

export function readWorkload(reader: YamlReader, place: Place): Workload {
  const field = reader.fields(place, workloadKeys);
  const name = reader.name(field('name'));
  const namespace = reader.requiredText(field('namespace'), 'the namespace\'s name');
  if (namespace !== '') identityPart(reader, field('namespace'), '');
  const ips = reader.list(field('workloadIps'), 'a list of IP addresses')
    .map((item) => readOwnIp(reader, item)).filter((ip) => ip !== '');
  const clusterId = reader.name(field('clusterId')) || 'Kubernetes';
  const workloadName = reader.name(field('workloadName'));
  const type = readType(reader, field('workloadType'), workloadName === '' ? 'pod' : 'deployment');
  const waypoint = readGateway(reader, field('waypoint'));
  const networkGateway = readGateway(reader, field('networkGateway'));
  const applicationTunnel = readApplicationTunnel(reader, field('applicationTunnel'));
  return {
    uid: reader.text(field('uid')) || `${clusterId}//Pod/${namespace}/${name || ips[0] || ''}`,
    name,
    namespace,
    trustDomain: identityPart(reader, field('trustDomain'), 'cluster.local'),
    serviceAccount: identityPart(reader, field('serviceAccount'), 'default'),
    ips,
    network: reader.name(field('network')),
    networkMode: reader.choice(field('networkMode'), 'network mode',
      { Standard: 'standard', HostNetwork: 'host-network' } as const, 'standard'),
    protocol: reader.choice(field('protocol'), 'protocol',
      { HBONE: 'hbone', TCP: 'tcp' } as const, 'tcp'),
    ...(waypoint === undefined ? {} : { waypoint }),
    ...(networkGateway === undefined ? {} : { networkGateway }),
    workloadName: workloadName || name,
    workloadType: type,
    canonicalName: reader.name(field('canonicalName')) || workloadName || name,
    canonicalRevision: reader.name(field('canonicalRevision')),
    hostname: reader.name(field('hostname')),
    node: reader.name(field('node')),
    nativeTunnel: reader.boolean(field('nativeTunnel')),
    ...(applicationTunnel === undefined ? {} : { applicationTunnel }),
    authorizationPolicies: reader.list(field('authorizationPolicies'), 'a list of namespace/name')
      .map((item) => readKey(reader, item, 'namespace/name of a policy')),
    status: reader.choice(field('status'), 'status', statusWords, 'healthy'),
    clusterId,
    locality: readLocality(reader, field('locality')),
    capacity: reader.integer(field('capacity'), 0, 0xffff_ffff, 1),
    services: readServices(reader, field('services')),
    netns: reader.text(field('netns'), 'the path of a network namespace'),
  };
}

/** The format takes any text, and peers look for these four: another one is told as a pod. */
function readType(
  reader: YamlReader, place: Place, fallback: Workload['workloadType'],
): Workload['workloadType'] {
  const text = reader.text(place).toLowerCase();
  if (text === '') return fallback;
  const type = typeWords.find((word) => word === text);
  if (type !== undefined) return type;
  reader.warning(place, `${JSON.stringify(text)} is no workload type that peers look for; it is told `
    + 'to them as Pod; they know Deployment, CronJob, Pod and Job');
  return 'pod';
}

/** '' when it is none, which was reported. */
export function readIp(reader: YamlReader, place: Place): string {
  const text = reader.text(place, 'an IP address');
  const ip = canonicalIp(text);
  if (ip === undefined) {
    reader.error(place, `${JSON.stringify(text)} is no IP address; expected one such as 10.0.0.1 `
      + 'or 2001:db8::1');
  }
  return ip ?? '';
}

/** An address that one host has: whoever listens on these would take everybody's connections. */
function readOwnIp(reader: YamlReader, place: Place): string {
  const ip = readIp(reader, place);
  const multicast = /^(?:22[4-9]|23\d)\.|^ff[0-9a-f]{2}:/.test(ip);
  if (ip === '0.0.0.0' || ip === '::' || ip === '255.255.255.255' || multicast) {
    reader.error(place, `${JSON.stringify(ip)} is no address of a single workload`);
  }
  return ip;
}

/** `a/b`, both parts there. */
export function readKey(reader: YamlReader, place: Place, what: string): ResourceKey {
  const text = reader.text(place, what);
  checkKey(reader, place, text, what);
  return text;
}

export function checkKey(reader: YamlReader, place: Place, text: string, what: string): void {
  if (/^[^/]+\/[^/]+$/.test(text)) return;
  reader.error(place, `${JSON.stringify(text)} should be ${what}`);
}

/** Port to port, both as numbers. */
export function readPorts(reader: YamlReader, place: Place): Map<number, number> {
  const ports = new Map<number, number>();
  for (const [key, value] of reader.entries(place, 'a map of service port to target port')) {
    const port = /^\d{1,5}$/.test(key.text) ? Number(key.text) : NaN;
    if (port >= 1 && port <= portMost) ports.set(port, reader.integer(value, 0, portMost, 0));
    else {
      reader.error({ ...value, offset: key.offset },
        `${JSON.stringify(key.text)} is no port; expected a number from 1 to ${portMost}`);
    }
  }
  return ports;
}

function readServices(reader: YamlReader, place: Place): Map<ResourceKey, Map<number, number>> {
  const services = new Map<ResourceKey, Map<number, number>>();
  for (const [key, value] of reader.entries(place, 'a map of namespace/hostname to ports')) {
    checkKey(reader, { ...value, offset: key.offset }, key.text, 'namespace/hostname of a service');
    services.set(key.text, readPorts(reader, value));
  }
  return services;
}

export function readGateway(reader: YamlReader, place: Place): GatewayAddress | undefined {
  if (place.node === undefined) return undefined;
  const field = reader.fields(place, ['destination', 'hboneMtlsPort']);
  const expected = 'network/ip or namespace/hostname, such as /10.0.0.1 or '
    + 'infra/waypoint.infra.svc';
  const destination = reader.requiredText(field('destination'), expected);
  const slash = destination.indexOf('/');
  const [before, after] = [destination.slice(0, slash), destination.slice(slash + 1)];
  if (destination !== '' && (slash < 0 || after === '')) {
    reader.error(field('destination'), `${JSON.stringify(destination)} should be ${expected}`);
  }
  const ip = canonicalIp(after);
  if (field('hboneMtlsPort').node === undefined) {
    reader.error(field('hboneMtlsPort'), 'is missing; expected a port, usually 15008');
  }
  return {
    destination: ip === undefined ? { kind: 'host', namespace: before, hostname: after }
      : { kind: 'address', network: before, ip },
    hboneMtlsPort: reader.integer(field('hboneMtlsPort'), 1, portMost, 15_008),
  };
}

function readLocality(reader: YamlReader, place: Place): Locality {
  if (place.node === undefined) return noLocality;
  const field = reader.fields(place, ['region', 'zone', 'subzone']);
  return {
    region: reader.name(field('region')),
    zone: reader.name(field('zone')),
    subzone: reader.name(field('subzone')),
  };
}

function readApplicationTunnel(reader: YamlReader, place: Place): Workload['applicationTunnel'] {
  if (place.node === undefined) return undefined;
  const field = reader.fields(place, ['protocol', 'port']);
  const protocol = reader.choice(field('protocol'), 'protocol',
    { NONE: 'none', PROXY: 'proxy' } as const, 'none');
  const port = reader.integer(field('port'), 0, portMost, 0);
  return port === 0 ? { protocol } : { protocol, port };
}
