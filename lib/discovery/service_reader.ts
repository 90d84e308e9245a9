import { canonicalIp, parseCidr } from '../model/address.js';
import type { Scope, Service } from '../model/resources.js';
import { parseSpiffeId } from '../model/spiffe_id.js';
import { readGateway, readPorts, statusWords } from './workload_reader.js';
import type { Place, YamlReader } from './yaml_reader.js';

const serviceKeys = [
  'name', 'namespace', 'hostname', 'vips', 'cidrVips', 'ports', 'endpoints', 'subjectAltNames',
  'waypoint', 'weightedWaypoints', 'loadBalancer', 'ipFamilies', 'canonical', 'visibility',
] as const;

const scopeWords: Readonly<Record<string, Scope>> = {
  Network: 'network', Region: 'region', Zone: 'zone', Subzone: 'subzone', Node: 'node',
  Cluster: 'cluster',
};

/** As in certificates and URLs, with `*` for whole labels. */
const hostPattern = /^[A-Za-z0-9_*-][A-Za-z0-9_.-]*$/;
/** The engine takes one more in a verdict: the endpoint's own identity. */
const namesMax = 255;

/** An endpoint that the service names, beside those that name the service. */
export interface ExtraEndpoint {
  readonly place: Place;
  readonly workloadUid: string;
  readonly ports: ReadonlyMap<number, number>;
  readonly healthy: boolean;
}

export interface ReadService {
  readonly service: Service;
  readonly endpoints: readonly ExtraEndpoint[];
}

export function readService(reader: YamlReader, place: Place): ReadService {
  const field = reader.fields(place, serviceKeys);
  const waypoint = readGateway(reader, field('waypoint'));
  const service: Service = {
    name: reader.requiredText(field('name'), 'the service\'s name'),
    namespace: reader.requiredText(field('namespace'), 'the namespace\'s name'),
    hostname: reader.requiredText(field('hostname'), 'such as echo.demo.svc.cluster.local'),
    vips: reader.list(field('vips'), 'a list of network/ip').map((item) => readVip(reader, item)),
    cidrVips: reader.list(field('cidrVips')).map((item) => readCidrVip(reader, item)),
    ports: readPorts(reader, field('ports')),
    subjectAltNames: readNames(reader, field('subjectAltNames')),
    ...(waypoint === undefined ? {} : { waypoint }),
    weightedWaypoints: reader.list(field('weightedWaypoints')).flatMap((item) => {
      const weighted = reader.fields(item, ['destination', 'weight']);
      const destination = readGateway(reader, weighted('destination'));
      if (destination === undefined) reader.error(weighted('destination'), 'is missing');
      const weight = reader.integer(weighted('weight'), 0, 0xffff_ffff, 0);
      return destination === undefined ? [] : [{ destination, weight }];
    }),
    loadBalancer: readLoadBalancer(reader, field('loadBalancer')),
    ipFamilies: reader.choice(field('ipFamilies'), 'choice of families', {
      Automatic: 'automatic', IPv4: 'ipv4', IPv6: 'ipv6', Dual: 'dual',
    } as const, 'automatic'),
    canonical: reader.boolean(field('canonical')),
    visibility: reader.choice(field('visibility'), 'visibility',
      { Public: 'public', Namespace: 'namespace' } as const, 'public'),
  };
  if (service.hostname !== '' && !hostPattern.test(service.hostname)) {
    reader.error(field('hostname'), `${JSON.stringify(service.hostname)} is no host name; expected `
      + 'letters, digits, dots and dashes, such as echo.demo.svc.cluster.local');
  }
  const endpoints = reader.entries(field('endpoints'), 'a map of uid to endpoint')
    .map(([key, value]) => readEndpoint(reader, key.text, value));
  return { service, endpoints };
}

/** Identities that endpoints may have beside their own. */
function readNames(reader: YamlReader, place: Place): string[] {
  const items = reader.list(place, 'a list of SPIFFE ids');
  if (items.length > namesMax) {
    reader.error(place, `${items.length} names are too many; at most ${namesMax} would be right`);
  }
  return items.map((item) => {
    const name = reader.text(item, 'a SPIFFE id');
    if (parseSpiffeId(name) === undefined) {
      reader.warning(item, `${JSON.stringify(name)} is no SPIFFE id of a workload, so no peer has `
        + 'it; spiffe://cluster.local/ns/demo/sa/web or the like would be right');
    }
    return name;
  });
}

function readVip(reader: YamlReader, place: Place): Service['vips'][number] {
  const text = reader.text(place, 'network/ip, such as /10.0.0.1');
  const slash = text.indexOf('/');
  if (slash < 0) {
    reader.error(place, `${JSON.stringify(text)} should be network/ip; in the default network `
      + `write ${JSON.stringify(`/${text}`)}`);
    return { network: '', ip: '' };
  }
  const ip = canonicalIp(text.slice(slash + 1));
  if (ip === undefined) {
    reader.error(place, `${JSON.stringify(text)} holds no IP address after the slash; expected `
      + 'network/ip such as /10.0.0.1');
    return { network: '', ip: '' };
  }
  return { network: text.slice(0, slash), ip };
}

function readCidrVip(reader: YamlReader, place: Place): Service['cidrVips'][number] {
  const field = reader.fields(place, ['network', 'cidr']);
  const cidr = reader.requiredText(field('cidr'), 'an address block such as 10.0.0.0/8');
  if (cidr !== '' && parseCidr(cidr) === undefined) {
    reader.error(field('cidr'), `${JSON.stringify(cidr)} is no address block; expected one such as `
      + '10.0.0.0/8');
  }
  return { network: reader.text(field('network')), cidr };
}

function readLoadBalancer(reader: YamlReader, place: Place): Service['loadBalancer'] {
  const field = reader.fields(place, ['routingPreferences', 'mode', 'healthPolicy']);
  return {
    mode: reader.choice(field('mode'), 'mode', {
      Standard: 'standard', Strict: 'strict', Failover: 'failover', Passthrough: 'passthrough',
    } as const, 'standard'),
    scopes: reader.list(field('routingPreferences')).map((item) =>
      reader.choice(item, 'scope', scopeWords, 'region')),
    healthPolicy: reader.choice(field('healthPolicy'), 'health policy',
      { OnlyHealthy: 'only-healthy', AllowAll: 'allow-all' } as const, 'only-healthy'),
  };
}

function readEndpoint(reader: YamlReader, key: string, place: Place): ExtraEndpoint {
  const field = reader.fields(place, ['workloadUid', 'port', 'status']);
  return {
    place,
    workloadUid: reader.text(field('workloadUid')) || key,
    ports: readPorts(reader, field('port')),
    healthy: reader.choice(field('status'), 'status', statusWords, 'healthy') === 'healthy',
  };
}
