import { describe, expect, it } from 'vitest';

import { diffMesh, emptyMesh } from '../../lib/discovery/diff.js';
import { parseMesh, type Mesh } from '../../lib/discovery/parse_mesh.js';
import { configDump } from '../../lib/roles/config_dump.js';
import { MeshState } from '../../lib/state/mesh_state.js';

const file = `
workloads:
- uid: u1
  name: all
  namespace: demo
  serviceAccount: sa
  workloadIps: [10.1.0.1, "2001:db8::1"]
  network: net1
  networkMode: HostNetwork
  protocol: HBONE
  waypoint: {destination: net1/10.1.0.9, hboneMtlsPort: 15008}
  networkGateway: {destination: gw/gw.gw.svc, hboneMtlsPort: 15009}
  workloadType: CronJob
  nativeTunnel: true
  applicationTunnel: {protocol: PROXY, port: 15088}
  authorizationPolicies: [demo/p]
  status: Unhealthy
  locality: {region: r, zone: z}
  capacity: 3
  services: {demo/s.demo.svc: {80: 8080}}
- {uid: u2, name: bare, namespace: demo, workloadIps: [10.1.0.2], services: {}, applicationTunnel: {protocol: NONE}}
services:
- name: s
  namespace: demo
  hostname: s.demo.svc
  vips: [net1/10.2.0.1, "/2001:db8::2"]
  cidrVips: [{network: net1, cidr: 10.3.0.0/16}]
  ports: {80: 8080, 81: 0}
  subjectAltNames: ["spiffe://cluster.local/ns/demo/sa/x"]
  weightedWaypoints: [{destination: {destination: demo/wp.demo.svc, hboneMtlsPort: 15008}, weight: 10}]
  loadBalancer: {routingPreferences: [Network, Node], mode: Strict, healthPolicy: AllowAll}
  ipFamilies: IPv4
  canonical: true
  visibility: Namespace
- {name: t, namespace: demo, hostname: t, vips: [], ports: {}}
policies:
- name: p
  namespace: demo
  scope: WorkloadSelector
  action: Deny
  dryRun: true
  rules:
  - - - principals: [!Exact a, !Prefix b, !Suffix c, !Presence []]
        serviceAccounts: [{namespace: a, serviceAccount: b}]
        notSourceIps: [10.0.0.0/8]
        destinationPorts: [80]
- {name: q, namespace: demo, scope: Global, action: Allow, rules: []}
`;

function meshOf(text: string): Mesh {
  const { mesh, diagnostics } = parseMesh(text, 'm');
  if (mesh === undefined) throw new Error(JSON.stringify(diagnostics));
  return mesh;
}

function dumpOf(mesh: Mesh): Record<string, Record<string, unknown>[]> {
  const state = new MeshState();
  state.apply(diffMesh(emptyMesh, mesh).delta);
  return configDump({
    view: state, identities: [], served: [], config: {}, version: {}, meshError: '',
  }) as Record<string, Record<string, unknown>[]>;
}

describe('the configuration dump', () => {
  const mesh = meshOf(file);
  const { workloads, services, policies } = dumpOf(mesh);

  it('is a mesh file that says the same', () => {
    const again = meshOf(JSON.stringify({ workloads, services, policies }));
    expect(again).toEqual(mesh);
  });

  it('writes words and defaults as the peer does', () => {
    expect(workloads?.[0]).toMatchObject({
      networkMode: 'HostNetwork', protocol: 'HBONE', status: 'Unhealthy',
      applicationTunnel: { protocol: 'PROXY', port: 15_088 },
      locality: { region: 'r', zone: 'z', subzone: '' },
    });
    expect(workloads?.[1]).toMatchObject({
      networkMode: 'Standard', protocol: 'TCP', applicationTunnel: { protocol: 'NONE', port: null },
    });
    expect(services?.[1]).toMatchObject({
      subjectAltNames: [], canonical: false, visibility: 'Public',
    });
    expect(policies?.[1]).toMatchObject({ scope: 'Global', action: 'Allow', dryRun: false });
  });
});
