import { describe, expect, it } from 'vitest';

import { formatDiagnostic, nearest } from '../../lib/discovery/diagnostic.js';
import { parseMesh, type Mesh } from '../../lib/discovery/parse_mesh.js';

const full = `
workloads:
- uid: cluster1//v1/Pod/demo/server
  name: server-1
  namespace: demo
  trustDomain: td.example
  serviceAccount: server
  workloadIps: [10.0.0.3, "2001:DB8:0:0::3"]
  network: net1
  networkMode: Standard
  protocol: HBONE
  waypoint: {destination: demo/wp.demo.svc, hboneMtlsPort: 15008}
  networkGateway: {destination: net2/10.9.0.1, hboneMtlsPort: 15009}
  workloadName: server
  workloadType: CronJob
  canonicalName: srv
  canonicalRevision: v1
  hostname: server.example
  node: node-b
  nativeTunnel: true
  applicationTunnel: {protocol: PROXY, port: 15088}
  authorizationPolicies: [demo/p]
  status: Unhealthy
  clusterId: cluster1
  locality: {region: r, zone: z, subzone: s}
  capacity: 5
  services:
    demo/echo.demo.svc.cluster.local: {80: 8080}
    demo/other.demo.svc.cluster.local: {}
  netns: /run/netns/b
- {workloadIps: [10.0.0.4], namespace: demo, name: bare, services: {}}
services:
- name: echo
  namespace: demo
  hostname: echo.demo.svc.cluster.local
  vips: [net1/10.1.0.1, /10.1.0.2, "/::1"]
  cidrVips: [{network: net1, cidr: 10.2.0.0/16}]
  ports: {80: 8080, 443: 0}
  endpoints: {x: {workloadUid: Kubernetes//Pod/demo/bare, port: {80: 81}, status: Healthy}}
  subjectAltNames: [spiffe://cluster.local/ns/demo/sa/x]
  waypoint: {destination: net1/10.9.0.2, hboneMtlsPort: 15008}
  weightedWaypoints: [{destination: {destination: /10.9.0.3, hboneMtlsPort: 15008}, weight: 3}]
  loadBalancer: {routingPreferences: [Network, Region, Zone, Subzone, Node, Cluster], mode: Failover, healthPolicy: AllowAll}
  ipFamilies: Dual
  canonical: true
  visibility: Namespace
- {name: other, namespace: demo, hostname: other.demo.svc.cluster.local, vips: [], ports: {}}
policies:
- name: p
  namespace: demo
  scope: WorkloadSelector
  action: Deny
  dryRun: true
  rules:
  - - - namespaces: [!Exact a, !Prefix b, !Suffix c, !Presence []]
        notNamespaces: [{Exact: a}, {Prefix: b}, {Suffix: c}, {Presence: []}, {Presence: {}}, {Presence: null}]
        principals: [!Exact "12", !Exact 12, !Presence , !Presence {}]
        notPrincipals: [!Presence []]
        serviceAccounts: [{namespace: n, serviceAccount: s}]
        notServiceAccounts: [{namespace: n, serviceAccount: t}]
        sourceIps: [10.0.0.0/8, 10.0.0.1]
        notSourceIps: ["2001:db8::/32"]
        destinationIps: [0.0.0.0/0]
        notDestinationIps: [1.2.3.4/32]
        destinationPorts: [80, 443]
        notDestinationPorts: [1]
      - {destinationPorts: [2]}
    - [{destinationPorts: [3]}]
  - []
`;

const meshOf = (text: string): Mesh => {
  const { mesh, diagnostics } = parseMesh(text, 'mesh.yaml');
  if (mesh === undefined) throw new Error(diagnostics.map(formatDiagnostic).join('\n'));
  return mesh;
};

/** Formatted errors without the file's name. */
const problems = (text: string): string[] =>
  parseMesh(text, 'm').diagnostics.map((found) => formatDiagnostic(found).replace(/^m:/, ''));

describe('a mesh file', () => {
  it('reads everything the format has', () => {
    const mesh = meshOf(full);
    expect(mesh.workloads.get('cluster1//v1/Pod/demo/server')).toEqual({
      uid: 'cluster1//v1/Pod/demo/server', name: 'server-1', namespace: 'demo',
      trustDomain: 'td.example', serviceAccount: 'server', ips: ['10.0.0.3', '2001:db8::3'],
      network: 'net1', networkMode: 'standard', protocol: 'hbone',
      waypoint: {
        destination: { kind: 'host', namespace: 'demo', hostname: 'wp.demo.svc' }, hboneMtlsPort: 15008,
      },
      networkGateway: {
        destination: { kind: 'address', network: 'net2', ip: '10.9.0.1' }, hboneMtlsPort: 15009,
      },
      workloadName: 'server', workloadType: 'cronjob', canonicalName: 'srv', canonicalRevision: 'v1',
      hostname: 'server.example', node: 'node-b', nativeTunnel: true,
      applicationTunnel: { protocol: 'proxy', port: 15088 }, authorizationPolicies: ['demo/p'],
      status: 'unhealthy', clusterId: 'cluster1', locality: { region: 'r', zone: 'z', subzone: 's' },
      capacity: 5,
      services: new Map([
        ['demo/echo.demo.svc.cluster.local', new Map([[80, 8080]])],
        ['demo/other.demo.svc.cluster.local', new Map()],
      ]),
      netns: '/run/netns/b',
    });
    expect(mesh.workloads.get('Kubernetes//Pod/demo/bare')).toEqual({
      uid: 'Kubernetes//Pod/demo/bare', name: 'bare', namespace: 'demo', trustDomain: 'cluster.local',
      serviceAccount: 'default', ips: ['10.0.0.4'], network: '', networkMode: 'standard',
      protocol: 'tcp', workloadName: 'bare', workloadType: 'pod', canonicalName: 'bare',
      canonicalRevision: '', hostname: '', node: '', nativeTunnel: false, authorizationPolicies: [],
      status: 'healthy', clusterId: 'Kubernetes', locality: { region: '', zone: '', subzone: '' },
      capacity: 1, services: new Map([['demo/echo.demo.svc.cluster.local', new Map([[80, 81]])]]),
      netns: '',
    });
    const address = (network: string, ip: string): object =>
      ({ destination: { kind: 'address', network, ip }, hboneMtlsPort: 15008 });
    expect(mesh.services.get('demo/echo.demo.svc.cluster.local')).toEqual({
      name: 'echo', namespace: 'demo', hostname: 'echo.demo.svc.cluster.local',
      vips: [{ network: 'net1', ip: '10.1.0.1' }, { network: '', ip: '10.1.0.2' },
        { network: '', ip: '::1' }],
      cidrVips: [{ network: 'net1', cidr: '10.2.0.0/16' }], ports: new Map([[80, 8080], [443, 0]]),
      subjectAltNames: ['spiffe://cluster.local/ns/demo/sa/x'], waypoint: address('net1', '10.9.0.2'),
      weightedWaypoints: [{ destination: address('', '10.9.0.3'), weight: 3 }],
      loadBalancer: {
        mode: 'failover', scopes: ['network', 'region', 'zone', 'subzone', 'node', 'cluster'],
        healthPolicy: 'allow-all',
      },
      ipFamilies: 'dual', canonical: true, visibility: 'namespace',
    });
    const [a, b, c, presence] = [
      { kind: 'exact', value: 'a' }, { kind: 'prefix', value: 'b' }, { kind: 'suffix', value: 'c' },
      { kind: 'presence' },
    ];
    const twelve = { kind: 'exact', value: '12' };
    const policy = mesh.policies.get('demo/p');
    expect(policy).toMatchObject({
      name: 'p', namespace: 'demo', scope: 'workload-selector', action: 'deny', dryRun: true,
    });
    expect(policy?.rules.map((rule) => rule.map((clause) => clause.length))).toEqual([[2, 1], []]);
    expect(policy?.rules[0]?.[0]?.[0]).toEqual({
      namespaces: [a, b, c, presence], notNamespaces: [a, b, c, presence, presence, presence],
      principals: [twelve, twelve, presence, presence], notPrincipals: [presence],
      serviceAccounts: [{ namespace: 'n', serviceAccount: 's' }],
      notServiceAccounts: [{ namespace: 'n', serviceAccount: 't' }],
      sourceIps: ['10.0.0.0/8', '10.0.0.1'], notSourceIps: ['2001:db8::/32'],
      destinationIps: ['0.0.0.0/0'], notDestinationIps: ['1.2.3.4/32'],
      destinationPorts: [80, 443], notDestinationPorts: [1],
    });
  });

  it('may be JSON, and in part', () => {
    const text = JSON.stringify({ services: [{
      name: 'a', namespace: 'b', hostname: 'a.b', vips: ['/10.0.0.1'], ports: { 80: 81 },
    }] });
    expect(meshOf(text).services.get('b/a.b')?.ports).toEqual(new Map([[80, 81]]));
    expect(meshOf('policies: []').policies.size).toBe(0);
  });

  it('may use anchors', () => {
    const mesh = meshOf('workloads:\n- &a {name: a, namespace: d, workloadIps: &i [10.0.0.1]}\n'
      + '- {name: b, namespace: e, networkMode: HostNetwork, workloadIps: *i}\n');
    expect([...mesh.workloads.values()].map(({ ips }) => ips)).toEqual([['10.0.0.1'], ['10.0.0.1']]);
  });
});

const workload = (more: string): string =>
  `workloads:\n- {name: a, namespace: demo, workloadIps: [10.0.0.1], services: {},\n   ${more}}\n`;
const service = (more: string): string =>
  `services:\n- {name: s, namespace: demo, hostname: s.demo,\n   ${more}}\n`;
const match = (more: string): string => 'policies:\n- {name: p, namespace: demo, scope: Namespace, '
  + `action: Deny,\n   rules: [[[{${more}}]]]}\n`;

describe('a mistake', () => {
  it.each<[string, string]>([
    ['', '1:1: error: the file is empty; expected workloads, services or policies'],
    ['# nothing\n', '1:1: error: the file is empty; expected workloads, services or policies'],
    ['[]', '1:1: error: a list should be a map with workloads, services, policies'],
    ['workloads: 5', '1:12: error: workloads: 5 should be a list'],
    ['workloads:\n-\n', '2:2: error: workloads[0]: an empty entry; expected a map'],
    ['workload: []', '1:1: error: "workload" is not known here; did you mean workloads?'],
    ['a: []', '1:1: error: "a" is not known here; known here: workloads, services, policies'],
    ['policies: []\npolicies: []', '2:1: error: "policies" is written twice here; once would be right'],
    ['policies: []\n---\npolicies: []', '2:1: error: a second document: one file holds one mesh'],
    [workload('protocol: HBON'),
      '3:14: error: workloads[0].protocol: "HBON" is no protocol; expected HBONE, TCP; did you mean HBONE?'],
    [workload('services: {}'),
      '3:4: error: workloads[0]: "services" is written twice here; once would be right'],
    [service('ports: {80: 1, "80": 2}'),
      '3:19: error: services[0].ports: "80" is written twice here; once would be right'],
    ['workloads: [foo]', '1:13: error: workloads[0]: "foo" should be a map with uid, name, namespace, '
      + 'trustDomain, serviceAccount, workloadIps, network, networkMode, protocol, waypoint, '
      + 'networkGateway, workloadName, workloadType, canonicalName, canonicalRevision, hostname, node, '
      + 'nativeTunnel, applicationTunnel, authorizationPolicies, status, clusterId, locality, '
      + 'capacity, services, netns'],
    ['workloads:\n- {namespace: a, workloadIps: [0.0.0.0]}', '2:32: error: workloads[0].workloadIps[0]: '
      + '"0.0.0.0" is no address of a single workload'],
    ['workloads:\n- {namespace: a, workloadIps: ["ff02::1"]}', '2:32: error: workloads[0].workloadIps[0]: '
      + '"ff02::1" is no address of a single workload'],
    [workload(`workloadName: ${'x'.repeat(254)}`), '3:18: error: workloads[0].workloadName: 254 '
      + 'characters are too many; at most 253 would be right'],
    [service(`subjectAltNames: [${'spiffe://a/ns/b/sa/c, '.repeat(256)}]`), '3:21: error: '
      + 'services[0].subjectAltNames: 256 names are too many; at most 255 would be right'],
    ['services:\n- {name: s, namespace: d, hostname: "a b\\nc"}', '2:37: error: services[0].hostname: '
      + '"a b\\nc" is no host name; expected letters, digits, dots and dashes, such as '
      + 'echo.demo.svc.cluster.local'],
    ['policies:\n- {name: p/q, namespace: d, scope: Namespace, action: Deny, rules: []}', '2:10: error: '
      + 'policies[0].name: "p/q" should be the policy\'s name, without a slash'],
    [match('serviceAccounts: [d/sa]'), '3:33: error: policies[0].rules[0][0][0].serviceAccounts[0]: '
      + '"d/sa" should be a map with namespace, serviceAccount'],
    [match('principals: [{Exact: a, Prefix: b}]'), '3:28: error: policies[0].rules[0][0][0].principals[0]: '
      + 'does not say how to compare; expected !Exact a, !Prefix a, !Suffix a or !Presence []'],
    [workload('capacity: -1'),
      '3:14: error: workloads[0].capacity: -1 should be a whole number from 0 to 4294967295'],
    [workload('nativeTunnel: yes'),
      '3:18: error: workloads[0].nativeTunnel: "yes" should be true or false'],
    [workload('protocl: HBONE'),
      '3:4: error: workloads[0]: "protocl" is not known here; did you mean protocol?'],
    [workload('serviceAccount: "a/b"'), '3:20: error: workloads[0].serviceAccount: "a/b" cannot be part '
      + 'of a SPIFFE id; expected letters, digits, dots, dashes and underscores'],
    [workload('waypoint: {destination: nowhere, hboneMtlsPort: 1}'), '3:28: error: workloads[0].waypoint.'
      + 'destination: "nowhere" should be network/ip or namespace/hostname, such as /10.0.0.1 or '
      + 'infra/waypoint.infra.svc'],
    [workload('authorizationPolicies: [p]'), '3:28: error: workloads[0].authorizationPolicies[0]: "p" '
      + 'should be namespace/name of a policy'],
    ['workloads:\n- {namespace: a, workloadIps: [10.0.0.256]}', '2:32: error: workloads[0].workloadIps[0]: '
      + '"10.0.0.256" is no IP address; expected one such as 10.0.0.1 or 2001:db8::1'],
    ['workloads:\n- {namespace: a, services: {b/c: {x: 1}}}', '2:35: error: workloads[0].services."b/c".x: '
      + '"x" is no port; expected a number from 1 to 65535'],
    ['workloads:\n- {namespace: a, services: {b/c: {80: 65536}}}', '2:39: error: '
      + 'workloads[0].services."b/c"."80": 65536 should be a whole number from 0 to 65535'],
    [service('vips: [10.0.0.1]'), '3:11: error: services[0].vips[0]: "10.0.0.1" should be network/ip; in '
      + 'the default network write "/10.0.0.1"'],
    [service('vips: [/a]'), '3:11: error: services[0].vips[0]: "/a" holds no IP address after the slash; '
      + 'expected network/ip such as /10.0.0.1'],
    [service('cidrVips: [{cidr: 10.0.0.0/99}]'), '3:22: error: services[0].cidrVips[0].cidr: "10.0.0.0/99" '
      + 'is no address block; expected one such as 10.0.0.0/8'],
    [service('endpoints: {x: {port: {}}}'), '3:19: error: services[0].endpoints.x: no workload has the '
      + 'uid "x"'],
    [match('principal: []'), '3:15: error: policies[0].rules[0][0][0]: "principal" is not known here; did '
      + 'you mean principals?'],
    [match('principals: [a]'), '3:28: error: policies[0].rules[0][0][0].principals[0]: "a" does not say how '
      + 'to compare; expected !Exact a, !Prefix a, !Suffix a or !Presence []'],
    [match('principals: [!Regex a]'), '3:35: error: policies[0].rules[0][0][0].principals[0]: "a" does not '
      + 'say how to compare; expected !Exact a, !Prefix a, !Suffix a or !Presence []'],
    [match('principals: [!Exact "spiffe://td/ns/a/sa/b"]'), '3:35: error: policies[0].rules[0][0][0].'
      + 'principals[0]: "spiffe://td/ns/a/sa/b" never holds: principals are written without spiffe://'],
    [match('principals: [{Exact: null}]'), '3:28: error: policies[0].rules[0][0][0].principals[0]: the text '
      + 'to compare with is missing; expected !Exact a, !Prefix a, !Suffix a or !Presence []'],
    [match('principals: [!Presence [a]]'), '3:38: error: policies[0].rules[0][0][0].principals[0]: presence '
      + 'takes no value; expected !Presence []'],
    [match('namespaces: [!Prefix ""]'), '3:36: error: policies[0].rules[0][0][0].namespaces[0]: the text to '
      + 'compare with is empty'],
    [match('sourceIps: [10.0.0.0/33]'), '3:27: error: policies[0].rules[0][0][0].sourceIps[0]: '
      + '"10.0.0.0/33" is no address block; expected one such as 10.0.0.0/8, 10.0.0.1 or 2001:db8::/32'],
    [match('destinationPorts: [http]'), '3:34: error: policies[0].rules[0][0][0].destinationPorts[0]: "http" '
      + 'should be a whole number from 0 to 65535'],
  ])('in %j', (text, expected) => {
    const { mesh } = parseMesh(text, 'm');
    expect(mesh).toBeUndefined();
    expect(problems(text)).toEqual([expected]);
  });

  it('of leaving things out is named for each', () => {
    expect(problems('policies:\n- {}')).toEqual([
      '2:3: error: policies[0].rules: is missing; expected a list of rules, [] for none',
      '2:3: error: policies[0].name: is missing; expected the policy\'s name',
      '2:3: error: policies[0].namespace: is missing; expected the namespace\'s name',
      '2:3: error: policies[0].scope: is missing; expected Global, Namespace or WorkloadSelector',
      '2:3: error: policies[0].action: is missing; expected Allow or Deny',
    ]);
  });

  it('of using a key twice names both', () => {
    expect(problems('workloads:\n- {uid: u, namespace: a}\n- {uid: u, namespace: b}')).toEqual([
      '3:3: error: workloads[1]: "u" is also workloads[0]: uid must be unique',
    ]);
  });

  it('is one of many, of which a bounded number is kept', () => {
    const many = `workloads:\n${'- {namespace: a, protocol: X}\n'.repeat(1000)}`;
    expect(problems(many).length).toBeLessThanOrEqual(101);
    expect(parseMesh(many, 'm').mesh).toBeUndefined();
  });

  it('with aliases that make it endless ends', () => {
    const levels = Array.from({ length: 12 }, (_, i) =>
      `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(10)}]`);
    expect(parseMesh(`l0: &l0 [x]\n${levels.join('\n')}`, 'm').mesh).toBeUndefined();
  });

  it('that is legal but hardly meant is a warning', () => {
    const text = 'workloads:\n'
      + '- {name: a, namespace: d, workloadIps: [10.0.0.1], services: {d/s: {}}, authorizationPolicies: [d/p]}\n'
      + '- {name: b, namespace: d, workloadIps: [10.0.0.1]}\n'
      + '- {name: c, namespace: d, workloadType: StatefulSet}\n'
      + 'policies:\n- {name: q, namespace: d, scope: WorkloadSelector, action: Deny, rules: []}\n';
    expect(parseMesh(text, 'm').mesh).toBeDefined();
    expect(problems(text)).toEqual([
      '2:68: warning: workloads[0].services."d/s": the service d/s is not in this file',
      '2:97: warning: workloads[0].authorizationPolicies[0]: the policy d/p is not in this file: '
        + 'without it every connection to Kubernetes//Pod/d/a is denied',
      '3:41: warning: workloads[1].workloadIps[0]: 10.0.0.1 is also an address of Kubernetes//Pod/d/a',
      '4:41: warning: workloads[2].workloadType: "statefulset" is no workload type that peers look '
        + 'for; it is told to them as Pod; they know Deployment, CronJob, Pod and Job',
      '6:3: warning: policies[0]: no workload names the policy d/q, so it applies to nothing',
    ]);
    expect(meshOf(text).workloads.get('Kubernetes//Pod/d/c')?.workloadType).toBe('pod');
  });
});

describe('a doubtful place', () => {
  const vip = (name: string, namespace: string, ip: string): string =>
    `- {name: ${name}, namespace: ${namespace}, hostname: ${name}.${namespace}, vips: [${ip}]}\n`;
  it.each<[string, string[]]>([
    [workload('node: n1').replace('10.0.0.1', ''), ['2:3: warning: workloads[0]: '
      + 'Kubernetes//Pod/demo/a has no address, so n1 cannot serve it']],
    [workload('node: n1').replace('10.0.0.1', '10.0.0.1, "::ffff:10.0.0.1"'),
      ['2:54: warning: workloads[0].workloadIps[1]: 10.0.0.1 is written twice']],
    [`services:\n${vip('s', 'd', '/10.1.0.1')}${vip('t', 'd', '/10.1.0.1')}${vip('u', 'e', '/10.1.0.1')}`,
      ['3:49: warning: services[1].vips[0]: 10.1.0.1 is also the service d/s.d, which is meant by it']],
    [`${workload('node: ""')}services:\n${vip('s', 'd', '/10.0.0.1')}`, ['5:49: warning: '
      + 'services[0].vips[0]: 10.0.0.1 is an address of the workload Kubernetes//Pod/demo/a, which is '
      + 'meant by it']],
    [service('subjectAltNames: [foo]'), ['3:22: warning: services[0].subjectAltNames[0]: "foo" is no '
      + 'SPIFFE id of a workload, so no peer has it; spiffe://cluster.local/ns/demo/sa/web or the like '
      + 'would be right']],
    [match(''), ['3:14: warning: policies[0].rules[0][0][0]: a match without any condition never holds']],
    [match('principals: []'), ['3:14: warning: policies[0].rules[0][0][0]: a match without any '
      + 'condition never holds']],
  ])('in %j', (text, expected) => {
    expect(parseMesh(text, 'm').mesh).toBeDefined();
    expect(problems(text)).toEqual(expected);
  });
});

describe('near words', () => {
  it.each([['HBON', ['HBONE', 'TCP'], 'HBONE'], ['protcol', ['protocol', 'port'], 'protocol'],
    ['x', ['protocol'], undefined], ['', ['a'], 'a']])('%s', (word, known, expected) => {
    expect(nearest(word, known)).toBe(expected);
  });
});
