import type { Side, SystemContext } from '../system.js';

const clientPrincipal = 'cluster.local/ns/bench/sa/client';
/** The first is the layout's own; the last byte of the others counts up from here. */
const hostFirst = 20;

/** All but the last are about others; the last lets the first client in. */
function policiesOf(count: number, clients: readonly string[]): object[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `policy-${index}`, namespace: 'bench', scope: 'Namespace', action: 'Allow', dryRun: false,
    rules: [[[{
      principals: index === count - 1 ? clients.map((name) => ({ Exact: name }))
        : [{ Exact: `cluster.local/ns/other-${index}/sa/client` }],
    }]]],
  }));
}

const nameOf = (kind: string, index: number): string => index === 0 ? kind : `${kind}-${index}`;

/**
 * A mesh of a server and `identities` clients as ztunnel reads it. `netns` names the layout's
 * network namespaces, in which our node proxy then listens as ztunnel does, at every address.
 */
export function meshOf({ layout, identities, policies }: SystemContext,
  { netns }: { netns: boolean }): { mesh: object; clientHosts: readonly string[] } {
  const prefix = layout.nearHost.slice(0, layout.nearHost.lastIndexOf('.'));
  const clientHosts = Array.from({ length: identities }, (_, index) =>
    index === 0 ? layout.nearHost : `${prefix}.${hostFirst + index}`);
  const workload = (name: string, ip: string, node: Side): object => ({
    uid: `bench//Pod/bench/${name}`, name, namespace: 'bench', serviceAccount: name,
    trustDomain: 'cluster.local', workloadIps: [ip], protocol: 'HBONE', node, services: {},
    ...(netns && layout.netns !== undefined ? { netns: layout.netns(node) } : {}),
  });
  const principals = clientHosts.map((_, index) =>
    index === 0 ? clientPrincipal : `${clientPrincipal}-${index}`);
  return {
    clientHosts,
    mesh: {
      workloads: [
        ...clientHosts.map((ip, index) => workload(nameOf('client', index), ip, 'near')),
        workload('server', layout.farHost, 'far'),
      ],
      services: [], policies: policiesOf(policies, principals),
    },
  };
}
