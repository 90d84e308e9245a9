import { beforeEach, describe, expect, it } from 'vitest';

import type { Decision, FlowKey } from '../../lib/model/decision.js';
import type { Service, Workload } from '../../lib/model/resources.js';
import { decide } from '../../lib/routing/decide.js';
import { defaultRoutingOptions } from '../../lib/routing/options.js';
import { MeshState } from '../../lib/state/mesh_state.js';
import { behind, deltaOf, serviceOf, workloadOf } from '../support/nouns.js';

const client = workloadOf('client', '10.0.0.1');
const server = workloadOf('server', '10.0.0.2', { services: behind('echo') });
const echo = serviceOf('echo', '10.1.0.1');

let state: MeshState;
beforeEach(() => {
  state = new MeshState();
  state.apply(deltaOf({ workloads: [client, server], services: [echo] }));
});

const put = (workloads: Workload[], services: Service[] = []): unknown =>
  state.apply(deltaOf({ workloads, services }));

const to = (destination: string, more: Partial<FlowKey> = {}): Decision => decide(state, {
  kind: 'capture', workload: client.uid, sourceIp: '10.0.0.1', destination, local: destination,
  authority: '', peerIdentity: '', forwardedHost: '', forwardedNetwork: '', spoof: false, ...more,
});

const toName = (authority: string): Decision => to('', { kind: 'socks5', authority });

/** What a table of cases compares: where to, or why not. */
function brief(decision: Decision): string {
  if (!decision.allow) return `${decision.reason} ${decision.live} ${decision.status}`;
  return decision.endpoints.map((e) => e.protocol === 'hbone'
    ? `hbone ${e.dial} for ${e.authority}` : `tcp ${e.dial}`).join(', ');
}

describe('a captured flow', () => {
  it('to a workload of the mesh goes through a tunnel', () => {
    expect(to('10.0.0.2:8080')).toMatchObject({
      allow: true,
      endpoints: [{
        protocol: 'hbone', dial: '10.0.0.2:15008', bind: '10.0.0.1', authority: '10.0.0.2:8080',
        sourceIdentity: 'spiffe://cluster.local/ns/demo/sa/client',
        peers: ['spiffe://cluster.local/ns/demo/sa/server'],
        headers: [['baggage', 'k8s.cluster.name=cluster1,k8s.namespace.name=demo,'
          + 'k8s.deployment.name=client,service.name=client,service.version=v1']],
        forwardedHost: '', weight: 1, workload: server.uid,
        parties: {
          reporter: 'source', source: client, destination: server, security: 'mutual_tls',
          sourcePrincipal: 'spiffe://cluster.local/ns/demo/sa/client',
          destinationPrincipal: 'spiffe://cluster.local/ns/demo/sa/server',
        },
      }],
      responseHeaders: [],
    });
  });

  it('to a service goes to its endpoints at their ports', () => {
    const san = 'spiffe://cluster.local/ns/demo/sa/san';
    put([workloadOf('other', '10.0.0.3', {
      services: behind('echo', [[80, 9090]]), protocol: 'tcp', capacity: 3,
    })], [{ ...echo, subjectAltNames: [san, 'not-spiffe'] }]);
    const decision = to('10.1.0.1:80');
    expect(brief(decision)).toBe('hbone 10.0.0.2:15008 for 10.0.0.2:8080, tcp 10.0.0.3:9090');
    expect(decision).toMatchObject({
      endpoints: [
        { peers: [san, 'spiffe://cluster.local/ns/demo/sa/server'], weight: 1,
          forwardedHost: 'echo.demo.svc.cluster.local' },
        { peers: [], sourceIdentity: '', headers: [], forwardedHost: '', weight: 3,
          parties: { security: 'unknown', sourcePrincipal: '', destinationPrincipal: '' } },
      ],
    });
  });

  it.each<[string, string, string]>([
    ['an unknown address', '192.0.2.1:443', 'tcp 192.0.2.1:443'],
    ['IPv4 written as IPv6', '[::ffff:10.0.0.2]:8080', 'hbone 10.0.0.2:15008 for 10.0.0.2:8080'],
    ['an IPv6 address', '[2001:db8::9]:443', 'tcp [2001:db8::9]:443'],
    ['itself', '10.0.0.1:80', 'hbone 10.0.0.1:15008 for 10.0.0.1:80'],
    ['our port on itself', '10.0.0.1:15001', 'recursion close 0'],
    ['our port on loopback', '127.0.0.1:15008', 'recursion close 0'],
    ['our port on IPv6 loopback', '[::1]:15006', 'recursion close 0'],
    ['another port on loopback', '127.0.0.1:9000', 'tcp 127.0.0.1:9000'],
    ['our port on another', '192.0.2.1:15001', 'tcp 192.0.2.1:15001'],
    ['everything', '0.0.0.0:80', 'bad-request close 0'],
    ['every IPv6', '[::]:80', 'bad-request close 0'],
    ['port 0', '10.0.0.2:0', 'bad-request close 0'],
    ['nonsense', 'x', 'bad-request close 0'],
    ['a port the service lacks', '10.1.0.1:81', 'no-endpoint keep 0'],
  ])('to %s', (_, destination, expected) => expect(brief(to(destination))).toBe(expected));

  it('of an unknown workload is refused', () => {
    expect(brief(to('10.0.0.2:80', { workload: 'gone' }))).toBe('unknown-local close 0');
  });

  it('to a plain workload is plain', () => {
    put([{ ...server, protocol: 'tcp' }]);
    expect(brief(to('10.0.0.2:8080'))).toBe('tcp 10.0.0.2:8080');
  });

  it('to a host-network workload by address passes through', () => {
    put([{ ...server, networkMode: 'host-network' }]);
    expect(brief(to('10.0.0.2:8080'))).toBe('tcp 10.0.0.2:8080');
    expect(brief(to('10.1.0.1:80'))).toBe('hbone 10.0.0.2:15008 for 10.0.0.2:8080');
  });

  it('binds to the workload only where it shares its network namespace', () => {
    put([{ ...client, ips: ['2001:db8::1', '10.0.0.1'] }]);
    const bind = (): unknown => (to('192.0.2.1:80') as { endpoints?: { bind: string }[] }).endpoints?.[0]?.bind;
    expect(bind()).toBe('10.0.0.1');
    put([{ ...client, netns: '/run/netns/a' }]);
    expect(bind()).toBe('');
  });
});

describe('a service', () => {
  const at = (): string => brief(to('10.1.0.1:80'));
  const other = workloadOf('other', '10.0.0.3', { services: behind('echo') });
  const both = 'hbone 10.0.0.2:15008 for 10.0.0.2:8080, hbone 10.0.0.3:15008 for 10.0.0.3:8080';
  const first = 'hbone 10.0.0.2:15008 for 10.0.0.2:8080';

  it.each<[string, Partial<Workload>, Partial<Service>, string]>([
    ['two endpoints', {}, {}, both],
    ['an unhealthy one', { status: 'unhealthy' }, {}, first],
    ['an unhealthy one that is wanted', { status: 'unhealthy' },
      { loadBalancer: { mode: 'standard', scopes: [], healthPolicy: 'allow-all' } }, both],
    ['one without capacity', { capacity: 0 }, {}, first],
    ['one in another network', { network: 'far' }, {}, first],
    ['one without an address', { ips: [] }, {}, first],
    ['one of the wrong family', { ips: ['2001:db8::3'] }, { ipFamilies: 'ipv4' }, first],
    ['one of the other family', { ips: ['2001:db8::3'] }, {},
      `${first}, hbone [2001:db8::3]:15008 for [2001:db8::3]:8080`],
    ['dual-stack endpoints', { ips: ['2001:db8::3', '10.0.0.3'] }, { ipFamilies: 'dual' }, both],
    ['a named port', { services: behind('echo', [[80, 81]]) }, { ports: new Map([[80, 0]]) },
      'hbone 10.0.0.3:15008 for 10.0.0.3:81'],
  ])('with %s', (_, endpoint, service, expected) => {
    put([{ ...other, ...endpoint }], [{ ...echo, ...service }]);
    expect(at()).toBe(expected);
  });

  it('says why nothing is left', () => {
    put([{ ...server, status: 'unhealthy' }, { ...other, network: 'far' }]);
    expect(to('10.1.0.1:80')).toMatchObject({
      reason: 'no-endpoint', live: 'keep', explanation: {
        text: 'no usable endpoint of the service demo/echo.demo.svc.cluster.local: 1 unhealthy, '
          + '1 in another network, which needs a gateway',
      },
    });
  });

  it('that passes through goes to the address asked for', () => {
    put([], [{ ...echo, loadBalancer: { ...echo.loadBalancer, mode: 'passthrough' } }]);
    const decision = to('10.1.0.1:81');
    expect(brief(decision)).toBe('tcp 10.1.0.1:81');
    expect(decision).toMatchObject({ endpoints: [{ workload: '', parties: { service: {} } }] });
  });

  it('prefers close endpoints when it says so', () => {
    const place = (region: string, zone: string): Partial<Workload> =>
      ({ locality: { region, zone, subzone: '' } });
    put([{ ...client, ...place('r', 'z') }, { ...server, ...place('r', 'other') },
      { ...other, ...place('r', 'z') }],
    [{ ...echo, loadBalancer: {
      mode: 'failover', scopes: ['network', 'region', 'zone'], healthPolicy: 'only-healthy',
    } }]);
    expect(at()).toBe('hbone 10.0.0.3:15008 for 10.0.0.3:8080');
    put([{ ...other, ...place('r', 'z'), status: 'unhealthy' }]);
    expect(at()).toBe(first);
    put([], [{ ...echo, loadBalancer: {
      mode: 'strict', scopes: ['zone'], healthPolicy: 'only-healthy',
    } }]);
    expect(to('10.1.0.1:80')).toMatchObject({
      allow: false, reason: 'no-endpoint', explanation: { text: expect.stringContaining('1 not local') },
    });
  });

  it('with very many endpoints gives each source a stable share', () => {
    const pod = (i: number): Workload => workloadOf(`p${i}`, `10.2.${i >> 8}.${i & 255}`, { services: behind('echo') });
    put(Array.from({ length: 1000 }, (_, i) => pod(i)));
    const picked = (from = client.uid): Set<string> => {
      const decision = to('10.1.0.1:80', { workload: from });
      return new Set(decision.allow ? decision.endpoints.map((endpoint) => endpoint.dial) : []);
    };
    const before = picked();
    expect(before.size).toBe(defaultRoutingOptions.endpointsMax);
    put([pod(1000)]);
    const after = picked();
    expect([...after].filter((dial) => !before.has(dial)).length).toBeLessThanOrEqual(1);
    const others = picked(server.uid);
    expect([...others].filter((dial) => !after.has(dial)).length).toBeGreaterThan(100);
  });

  it('is routed once for many keys, until something about it changes', () => {
    const endpoints = (): unknown => (to('10.1.0.1:80') as { endpoints: unknown }).endpoints;
    const before = endpoints();
    put([workloadOf('stranger', '10.0.0.9')]);
    expect(endpoints()).toBe(before);
    put([], [{ ...echo, subjectAltNames: ['spiffe://cluster.local/ns/demo/sa/x'] }]);
    expect(endpoints()).not.toBe(before);
    put([{ ...client, serviceAccount: 'new' }]);
    expect(to('10.1.0.1:80')).toMatchObject({
      endpoints: [{ sourceIdentity: 'spiffe://cluster.local/ns/demo/sa/new' }],
    });
  });
});

describe('a waypoint', () => {
  const waypoint = {
    destination: { kind: 'host', namespace: 'demo', hostname: 'wp.demo.svc.cluster.local' } as const,
    hboneMtlsPort: 15008,
  };
  it.each<[string, Workload[], Service[], string]>([
    ['of a service', [], [{ ...echo, waypoint }], '10.1.0.1:80'],
    ['with a weight', [], [{ ...echo, weightedWaypoints: [{ destination: waypoint, weight: 1 }] }],
      '10.1.0.1:80'],
    ['of a workload', [{ ...server, waypoint }], [], '10.0.0.2:80'],
  ])('%s is never bypassed', (_, workloads, services, destination) => {
    put(workloads, services);
    const decision = to(destination);
    expect(brief(decision)).toBe('no-endpoint close 0');
    expect(decision.explanation.text).toContain('demo/wp.demo.svc.cluster.local');
  });

  it('of an endpoint does not concern flows to its service', () => {
    put([{ ...server, waypoint }]);
    expect(brief(to('10.1.0.1:80'))).toBe('hbone 10.0.0.2:15008 for 10.0.0.2:8080');
  });

  it('without weight is none', () => {
    put([], [{ ...echo, weightedWaypoints: [{ destination: waypoint, weight: 0 }] }]);
    expect(brief(to('10.1.0.1:80'))).toMatch(/^hbone/);
  });
});

describe('a SOCKS5 flow', () => {
  it.each([
    ['echo.demo.svc.cluster.local:80'], ['ECHO.demo.svc.cluster.local.:80'], ['echo.demo.svc:80'],
    ['echo.demo:80'], ['echo:80'],
  ])('to %s goes to the service', (authority) => {
    expect(brief(toName(authority))).toBe('hbone 10.0.0.2:15008 for 10.0.0.2:8080');
  });

  it.each(['example.com:80', 'echo.other:80', 'server:80'])('to %s is refused', (authority) => {
    expect(brief(toName(authority))).toBe('unknown-destination keep 0');
  });

  it('reaches services without an address, and wildcard hosts', () => {
    put([workloadOf('w', '10.0.0.5', { services: new Map([['demo/*.example.com', new Map()]]) })], [
      serviceOf('echo', ''),
      { ...serviceOf('wild', ''), hostname: '*.example.com' },
    ]);
    expect(brief(toName('echo:80'))).toBe('hbone 10.0.0.2:15008 for 10.0.0.2:8080');
    expect(brief(toName('a.b.example.com:80'))).toBe('hbone 10.0.0.5:15008 for 10.0.0.5:8080');
    expect(brief(toName('example.com:80'))).toBe('unknown-destination keep 0');
  });

  it('to an address is as captured', () => {
    expect(brief(to('10.0.0.2:80', { kind: 'socks5' }))).toBe('hbone 10.0.0.2:15008 for 10.0.0.2:80');
  });
});
