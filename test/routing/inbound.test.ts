import { beforeEach, describe, expect, it } from 'vitest';

import type { Decision, FlowKey } from '../../lib/model/decision.js';
import { decide, redecide } from '../../lib/routing/decide.js';
import { MeshState } from '../../lib/state/mesh_state.js';
import { behind, deltaOf, policyOf, serviceOf, workloadOf } from '../support/nouns.js';

const client = workloadOf('client', '10.0.0.1');
const server = workloadOf('server', '10.0.0.2', {
  ips: ['10.0.0.2', '2001:db8::2'], services: behind('echo', [[81, 9090]]),
});
const echo = serviceOf('echo', '10.1.0.1', { ports: new Map([[80, 8080], [81, 0], [82, 0]]) });
const identity = 'spiffe://cluster.local/ns/demo/sa/client';

let state: MeshState;
beforeEach(() => {
  state = new MeshState();
  state.apply(deltaOf({
    workloads: [client, server], services: [echo, serviceOf('else', '10.1.0.2')],
  }));
});

const hboneKey = (authority: string, more: Partial<FlowKey> = {}): FlowKey => ({
  kind: 'hbone', workload: server.uid, sourceIp: '10.0.0.1', destination: '10.0.0.2:15008',
  local: '10.0.0.2:15008', authority, peerIdentity: identity, forwardedHost: '', forwardedNetwork: '',
  spoof: false, ...more,
});
const hbone = (authority: string, more: Partial<FlowKey> = {}): Decision =>
  decide(state, hboneKey(authority, more));
const plaintext = (destination: string, more: Partial<FlowKey> = {}): Decision =>
  decide(state, hboneKey('', { kind: 'plaintext', destination, peerIdentity: '', ...more }));

const brief = (decision: Decision): string => decision.allow
  ? decision.endpoints.map((e) => `${e.protocol} ${e.dial}`).join(', ')
  : `${decision.reason} ${decision.status} ${decision.live}`;

describe('an HBONE stream', () => {
  it('goes to the application of the workload', () => {
    expect(hbone('10.0.0.2:8080')).toMatchObject({
      allow: true,
      endpoints: [{
        protocol: 'tcp', dial: '10.0.0.2:8080', bind: '', weight: 1, workload: server.uid,
        parties: {
          reporter: 'destination', source: client, destination: server, service: echo,
          sourcePrincipal: identity, destinationPrincipal: 'spiffe://cluster.local/ns/demo/sa/server',
          security: 'mutual_tls',
        },
      }],
      responseHeaders: [['baggage', 'k8s.cluster.name=cluster1,k8s.namespace.name=demo,'
        + 'k8s.deployment.name=server,service.name=server,service.version=v1']],
    });
  });

  it.each<[string, string]>([
    ['[2001:db8::2]:8080', 'tcp [2001:db8::2]:8080'],
    ['[::ffff:10.0.0.2]:8080', 'tcp 10.0.0.2:8080'],
    ['10.0.0.3:8080', 'bad-request 400 close'],
    ['127.0.0.1:8080', 'bad-request 400 close'],
    ['0.0.0.0:8080', 'bad-request 400 close'],
    ['10.1.0.1:80', 'bad-request 400 close'],
    ['10.0.0.2', 'bad-request 400 close'],
    ['10.0.0.2:0', 'bad-request 400 close'],
    ['', 'bad-request 400 close'],
    ['user@10.0.0.2:80', 'bad-request 400 close'],
    ['10.0.0.2:15008', 'recursion 503 close'],
    ['10.0.0.2:15001', 'recursion 503 close'],
    ['10.0.0.2:15006', 'recursion 503 close'],
    ['10.0.0.2:15080', 'recursion 503 close'],
    ['10.0.0.2:15000', 'tcp 10.0.0.2:15000'],
    ['echo.demo.svc.cluster.local:80', 'tcp 10.0.0.2:8080'],
    ['echo.demo.svc.cluster.local:81', 'tcp 10.0.0.2:9090'],
    ['echo.demo.svc.cluster.local:82', 'no-endpoint 503 keep'],
    ['echo.demo.svc.cluster.local:83', 'no-endpoint 503 keep'],
    ['else.demo.svc.cluster.local:80', 'bad-request 400 close'],
    ['nothing.example:80', 'unknown-destination 503 keep'],
  ])('for %j', (authority, expected) => expect(brief(hbone(authority))).toBe(expected));

  // A listener in the workload's own namespace is bound to every address, which is none to connect to:
  // the kernel would take it for the loopback, past every policy that names an address.
  it.each(['0.0.0.0', '[::]', '[0:0::0]', '[::ffff:0.0.0.0]'])('goes nowhere by the wildcard %s', (wildcard) => {
    const local = `${wildcard}:15008`;
    const at = { destination: local, local };
    expect(brief(hbone(`${wildcard}:8080`, at))).toBe('bad-request 400 close');
    expect(brief(hbone('10.0.0.2:8080', at))).toBe('tcp 10.0.0.2:8080');
    expect(brief(hbone('echo.demo.svc.cluster.local:80', at))).toBe('tcp 10.0.0.2:8080');
    expect(brief(plaintext(`${wildcard}:8080`, { local }))).toBe('bad-request 0 close');
  });

  it('needs a workload and an identity', () => {
    expect(brief(hbone('10.0.0.2:80', { workload: 'gone' }))).toBe('unknown-local 503 close');
    expect(brief(hbone('10.0.0.2:80', { peerIdentity: '' }))).toBe('denied 401 close');
    expect(brief(hbone('10.0.0.2:80', { peerIdentity: 'spiffe://td/x' }))).toBe('denied 401 close');
  });

  it('is authorized by identity, address and the application\'s port', () => {
    const denyAt = (port: number): string => {
      state.apply(deltaOf({ policies: [policyOf('p', 'deny', [{
        principals: [{ kind: 'exact', value: 'cluster.local/ns/demo/sa/client' }],
        sourceIps: ['10.0.0.1/32'], destinationIps: ['10.0.0.2/32'], destinationPorts: [port],
      }])] }));
      return brief(hbone('10.0.0.2:8080'));
    };
    expect(denyAt(15008)).toBe('tcp 10.0.0.2:8080');
    expect(denyAt(8080)).toBe('denied 401 close');
    expect(hbone('10.0.0.2:8080')).toMatchObject({
      parties: { source: client, destination: server },
      explanation: {
        policy: 'demo/p',
        text: 'connection closed due to policy rejection: explicitly denied by demo/p',
        facts: [
          ['kind', 'hbone'], ['workload', server.uid], ['source ip', '10.0.0.1'],
          ['destination', '10.0.0.2:15008'], ['local', '10.0.0.2:15008'],
          ['authority', '10.0.0.2:8080'], ['peer identity', identity],
        ],
      },
    });
    state.apply(deltaOf({ removedPolicies: ['demo/p'] }));
    expect(brief(hbone('10.0.0.2:8080'))).toBe('tcp 10.0.0.2:8080');
  });

  it('is denied when the workload names an unknown policy', () => {
    state.apply(deltaOf({ workloads: [{ ...server, authorizationPolicies: ['demo/lost'] }] }));
    expect(brief(hbone('10.0.0.2:8080'))).toBe('denied 401 close');
  });

  it('does not take policies of other namespaces, nor selected ones it does not name', () => {
    const all = [{ notDestinationPorts: [1] }];
    state.apply(deltaOf({ policies: [
      policyOf('a', 'deny', all, { namespace: 'other' }),
      policyOf('b', 'deny', all, { scope: 'workload-selector' }),
    ] }));
    expect(brief(hbone('10.0.0.2:8080'))).toBe('tcp 10.0.0.2:8080');
    state.apply(deltaOf({ workloads: [{ ...server, authorizationPolicies: ['demo/b'] }] }));
    expect(brief(hbone('10.0.0.2:8080'))).toBe('denied 401 close');
  });

  it('shows the downstream\'s address upstream when it may and it helps', () => {
    const bind = (authority: string, sourceIp: string): unknown => {
      const decision = hbone(authority, { spoof: true, sourceIp });
      return decision.allow ? decision.endpoints[0]?.bind : decision.reason;
    };
    expect(bind('10.0.0.2:80', '10.0.0.1')).toBe('downstream');
    expect(bind('10.0.0.2:80', '10.0.0.2')).toBe('');
    expect(bind('[2001:db8::2]:80', '10.0.0.1')).toBe('');
  });

  it('tells telemetry only what can be true', () => {
    const parties = (more: Partial<FlowKey>, authority = '10.0.0.2:8080'): unknown => {
      const decision = hbone(authority, more);
      return decision.allow ? decision.endpoints[0]?.parties : decision.parties;
    };
    expect(parties({ forwardedNetwork: 'far' })).not.toHaveProperty('source');
    expect(parties({ peerIdentity: 'spiffe://cluster.local/ns/demo/sa/x' })).not.toHaveProperty('source');
    expect(parties({}, '10.0.0.2:1')).not.toHaveProperty('service');
    expect(parties({ forwardedHost: echo.hostname }, '10.0.0.2:1')).toHaveProperty('service', echo);
    expect(parties({ forwardedHost: 'else.demo.svc.cluster.local' }, '10.0.0.2:1'))
      .not.toHaveProperty('service');
    expect(parties({}, '10.0.0.2:9090')).toHaveProperty('service', echo);
  });

  it('honours the application tunnel\'s port and refuses what it cannot do', () => {
    state.apply(deltaOf({ workloads: [{ ...server, applicationTunnel: { protocol: 'none', port: 15088 } }] }));
    expect(brief(hbone('10.0.0.2:80'))).toBe('tcp 10.0.0.2:15088');
    state.apply(deltaOf({ workloads: [{ ...server, applicationTunnel: { protocol: 'proxy' } }] }));
    expect(brief(hbone('10.0.0.2:80'))).toBe('unknown-local 503 close');
  });
});

describe('a plaintext connection', () => {
  it.each<[string, string]>([
    ['10.0.0.2:8080', 'tcp 10.0.0.2:8080'],
    ['[2001:db8::2]:8080', 'tcp [2001:db8::2]:8080'],
    ['10.0.0.3:8080', 'bad-request 0 close'],
    ['10.0.0.2:15006', 'recursion 0 close'],
    ['10.0.0.2:15008', 'recursion 0 close'],
    ['', 'bad-request 0 close'],
  ])('to %j', (destination, expected) => expect(brief(plaintext(destination))).toBe(expected));

  it('has no identity', () => {
    state.apply(deltaOf({ policies: [policyOf('strict', 'deny', [
      { notPrincipals: [{ kind: 'presence' }] },
    ])] }));
    expect(plaintext('10.0.0.2:8080')).toMatchObject({
      reason: 'denied', status: 0, parties: { security: 'unknown', sourcePrincipal: '', source: client },
    });
    expect(brief(hbone('10.0.0.2:8080'))).toBe('tcp 10.0.0.2:8080');
  });

  it('has no response headers', () => {
    expect(plaintext('10.0.0.2:8080')).toMatchObject({ allow: true, responseHeaders: [] });
  });
});

describe('deciding again', () => {
  it('does not look at every policy for every key', () => {
    const keys = Array.from({ length: 2_000 }, (_, i) => hboneKey(`10.0.0.2:${1 + i % 1000}`));
    const fastestMs = (policies: number): number => {
      state.apply(deltaOf({ policies: Array.from({ length: policies }, (_, i) =>
        policyOf(`p${i}`, 'deny', [{ principals: [{ kind: 'exact', value: `td/ns/n/sa/${i}` }] }])) }));
      redecide(state, keys.slice(0, 100));
      return Math.min(...[1, 2, 3].map(() => {
        const start = performance.now();
        expect(redecide(state, keys).every((decision) => decision.allow)).toBe(true);
        return performance.now() - start;
      }));
    };
    const few = fastestMs(10);
    // A thousand times as many policies: a scan would take hundreds of times as long.
    expect(fastestMs(10_000) / few).toBeLessThan(50);
  });
});
