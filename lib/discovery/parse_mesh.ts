import type { Authorization, ResourceKey, Service, Workload } from '../model/resources.js';
import type { Diagnostic } from './diagnostic.js';
import { readPolicy } from './policy_reader.js';
import { readService, type ExtraEndpoint } from './service_reader.js';
import { readWorkload } from './workload_reader.js';
import { YamlReader, type Place } from './yaml_reader.js';

/** Everything a mesh file says, by key. */
export interface Mesh {
  readonly workloads: ReadonlyMap<ResourceKey, Workload>;
  readonly services: ReadonlyMap<ResourceKey, Service>;
  readonly policies: ReadonlyMap<ResourceKey, Authorization>;
}

export interface ParsedMesh {
  /** undefined when there is an error: half a mesh file is no mesh. */
  readonly mesh: Mesh | undefined;
  /** In the order of the file; a bounded number. */
  readonly diagnostics: readonly Diagnostic[];
}

interface Read<Noun> {
  readonly noun: Noun;
  readonly place: Place;
}

/**
 * Reads the YAML (or JSON) of ztunnel's local configuration, with `netns` as our extension. `file`
 * is the name that diagnostics carry.
 */
export function parseMesh(text: string, file: string): ParsedMesh {
  const reader = new YamlReader(text, file);
  const mesh = reader.failed ? undefined : readMesh(reader);
  const diagnostics = [...reader.diagnostics]
    .sort((a, b) => a.line - b.line || a.column - b.column);
  return { mesh: reader.failed ? undefined : mesh, diagnostics };
}

function readMesh(reader: YamlReader): Mesh {
  const root = reader.root();
  if (root.node === undefined) {
    reader.error(root, 'the file is empty; expected workloads, services or policies');
  }
  const field = reader.fields(root, ['workloads', 'services', 'policies']);
  const workloads = collect(reader, field('workloads'), (place) => readWorkload(reader, place),
    (workload) => workload.uid, 'uid');
  const extras: { key: ResourceKey; healthPolicy: string; endpoint: ExtraEndpoint }[] = [];
  const services = collect(reader, field('services'), (place) => {
    const { service, endpoints } = readService(reader, place);
    const key = `${service.namespace}/${service.hostname}`;
    const { healthPolicy } = service.loadBalancer;
    extras.push(...endpoints.map((endpoint) => ({ key, healthPolicy, endpoint })));
    return service;
  }, (service) => `${service.namespace}/${service.hostname}`, 'namespace and hostname');
  const policies = collect(reader, field('policies'), (place) => readPolicy(reader, place),
    (policy) => `${policy.namespace}/${policy.name}`, 'namespace and name');
  for (const { key, healthPolicy, endpoint } of extras) {
    const read = workloads.get(endpoint.workloadUid);
    if (read === undefined) {
      reader.error(endpoint.place,
        `no workload has the uid ${JSON.stringify(endpoint.workloadUid)}`);
    } else if (!read.noun.services.has(key) && (endpoint.healthy || healthPolicy === 'allow-all')) {
      const services = new Map([...read.noun.services, [key, endpoint.ports]]);
      const noun = { ...read.noun, services };
      workloads.set(endpoint.workloadUid, { ...read, noun });
    }
  }
  if (!reader.failed) crossCheck(reader, workloads, services, policies);
  const nouns = <Noun>(read: Map<ResourceKey, Read<Noun>>): Map<ResourceKey, Noun> =>
    new Map([...read].map(([key, { noun }]) => [key, noun]));
  return { workloads: nouns(workloads), services: nouns(services), policies: nouns(policies) };
}

function collect<Noun>(
  reader: YamlReader, list: Place, read: (place: Place) => Noun, keyOf: (noun: Noun) => ResourceKey,
  what: string,
): Map<ResourceKey, Read<Noun>> {
  const found = new Map<ResourceKey, Read<Noun>>();
  for (const place of reader.list(list)) {
    if (place.node === undefined) {
      reader.error(place, 'an empty entry; expected a map');
      continue;
    }
    const noun = read(place);
    const key = keyOf(noun);
    const earlier = found.get(key);
    if (earlier !== undefined) {
      reader.error(place, `${JSON.stringify(key)} is also ${earlier.place.path}: ${what} must be `
        + 'unique');
    }
    found.set(key, { noun, place });
  }
  return found;
}

/** What is legal but hardly meant. Places of parts are looked up when there is something to say. */
function crossCheck(
  reader: YamlReader, workloads: ReadonlyMap<ResourceKey, Read<Workload>>,
  services: ReadonlyMap<ResourceKey, Read<Service>>,
  policies: ReadonlyMap<ResourceKey, Read<Authorization>>,
): void {
  const owners = new Map<string, string>();
  const named = new Set<ResourceKey>();
  for (const { noun, place } of workloads.values()) {
    noun.authorizationPolicies.forEach((key, index) => {
      named.add(key);
      if (!policies.has(key)) {
        reader.warning(part(reader, place, 'authorizationPolicies', index), `the policy ${key} is `
          + `not in this file: without it every connection to ${noun.uid} is denied`);
      }
    });
    for (const key of noun.services.keys()) {
      if (!services.has(key)) {
        reader.warning(part(reader, place, 'services', key),
          `the service ${key} is not in this file`);
      }
    }
    if (noun.node !== '' && noun.ips.length === 0) {
      reader.warning(place, `${noun.uid} has no address, so ${noun.node} cannot serve it`);
    }
    if (noun.networkMode === 'host-network') continue;
    noun.ips.forEach((ip, index) => {
      const owner = owners.get(`${noun.network}/${ip}`);
      owners.set(`${noun.network}/${ip}`, owner ?? noun.uid);
      if (owner === undefined) return;
      reader.warning(part(reader, place, 'workloadIps', index), owner === noun.uid
        ? `${ip} is written twice` : `${ip} is also an address of ${owner}`);
    });
  }
  checkVips(reader, services, owners);
  for (const [key, { noun, place }] of policies) {
    if (noun.scope === 'workload-selector' && !named.has(key)) {
      reader.warning(place, `no workload names the policy ${key}, so it applies to nothing`);
    }
  }
}

/** Who is meant by an address must not depend on the order of the file. */
function checkVips(
  reader: YamlReader, services: ReadonlyMap<ResourceKey, Read<Service>>,
  owners: ReadonlyMap<string, string>,
): void {
  const taken = new Map<string, ResourceKey>();
  for (const [key, { noun, place }] of services) {
    noun.vips.forEach(({ network, ip }, index) => {
      const warn = (message: string): void =>
        reader.warning(part(reader, place, 'vips', index), `${ip} ${message}`);
      const owner = owners.get(`${network}/${ip}`);
      if (owner !== undefined) warn(`is an address of the workload ${owner}, which is meant by it`);
      // Services of different namespaces may share one: a client's own comes first.
      const name = `${noun.namespace} ${network}/${ip}`;
      const other = taken.get(name);
      if (other === undefined) taken.set(name, key);
      else if (other === key) warn('is written twice');
      else warn(`is also the service ${other}, which is meant by it`);
    });
  }
}

function part(reader: YamlReader, place: Place, list: string, item: number | string): Place {
  const under = reader.entries(place, 'a map').find(([key]) => key.text === list)?.[1];
  if (under === undefined) return place;
  if (typeof item === 'number') return reader.list(under)[item] ?? under;
  return reader.entries(under, 'a map').find(([key]) => key.text === item)?.[1] ?? under;
}
