import type {
  Authorization, Delta, Match, Service, Workload,
} from '../../lib/model/resources.js';

const gone = { removedWorkloads: [], removedServices: [], removedPolicies: [] };

export const deltaOf = (delta: Partial<Delta>): Delta =>
  ({ workloads: [], services: [], policies: [], ...gone, ...delta });

/** A healthy HBONE pod of namespace `demo`, named as given. */
export const workloadOf = (name: string, ip: string, more: Partial<Workload> = {}): Workload => ({
  uid: `cluster1//Pod/demo/${name}`, name, namespace: 'demo', trustDomain: 'cluster.local',
  serviceAccount: name, ips: ip === '' ? [] : [ip], network: '', networkMode: 'standard',
  protocol: 'hbone', workloadName: name, workloadType: 'deployment', canonicalName: name,
  canonicalRevision: 'v1', hostname: '', node: 'node-a', nativeTunnel: false,
  authorizationPolicies: [], status: 'healthy', clusterId: 'cluster1',
  locality: { region: '', zone: '', subzone: '' }, capacity: 1, services: new Map(), netns: '', ...more,
});

/** `NAME.demo.svc.cluster.local` with port 80 to 8080. */
export const serviceOf = (name: string, vip: string, more: Partial<Service> = {}): Service => ({
  name, namespace: 'demo', hostname: `${name}.${more.namespace ?? 'demo'}.svc.cluster.local`,
  vips: vip === '' ? [] : [{ network: '', ip: vip }], cidrVips: [], ports: new Map([[80, 8080]]),
  subjectAltNames: [], weightedWaypoints: [],
  loadBalancer: { mode: 'standard', scopes: [], healthPolicy: 'only-healthy' },
  ipFamilies: 'automatic', canonical: false, visibility: 'public', ...more,
});

/** The `services` of a workload behind `name`, with its own port mapping or none. */
export const behind = (name: string, ports: [number, number][] = []): Workload['services'] =>
  new Map([[`demo/${name}.demo.svc.cluster.local`, new Map(ports)]]);

export const matchOf = (match: Partial<Match>): Match => ({
  namespaces: [], notNamespaces: [], principals: [], notPrincipals: [], serviceAccounts: [],
  notServiceAccounts: [], sourceIps: [], notSourceIps: [], destinationIps: [], notDestinationIps: [],
  destinationPorts: [], notDestinationPorts: [], ...match,
});

/** One rule with one clause with these matches, for namespace `demo`. */
export const policyOf = (
  name: string, action: 'allow' | 'deny', matches: readonly Partial<Match>[],
  more: Partial<Authorization> = {},
): Authorization => ({
  name, namespace: 'demo', scope: 'namespace', action, rules: [[matches.map(matchOf)]], dryRun: false,
  ...more,
});
