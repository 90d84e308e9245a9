import { beforeEach, describe, expect, it } from 'vitest';

import { MeshState } from '../../lib/state/mesh_state.js';
import { behind, deltaOf, policyOf, serviceOf, workloadOf } from '../support/nouns.js';

let state: MeshState;
beforeEach(() => {
  state = new MeshState();
});

const echoKey = 'demo/echo.demo.svc.cluster.local';

describe('generations', () => {
  it('rise with every change and only then', () => {
    const first = state.generation;
    expect(state.apply(deltaOf({}))).toBe(first);
    expect(state.apply(deltaOf({ workloads: [workloadOf('a', '10.0.0.1')] }))).toBe(first + 1);
    expect(state.apply(deltaOf({ removedServices: ['x/y'] }))).toBe(first + 2);
  });
});

describe('workloads', () => {
  it('are found by uid and address until they move or go', () => {
    const a = workloadOf('a', '10.0.0.1');
    state.apply(deltaOf({ workloads: [a] }));
    expect(state.workload(a.uid)).toBe(a);
    expect(state.workloadByIp('', '10.0.0.1')).toBe(a);
    expect(state.workloadByIp('other', '10.0.0.1')).toBeUndefined();
    const moved = workloadOf('a', '10.0.0.2');
    state.apply(deltaOf({ workloads: [moved] }));
    expect(state.workloadByIp('', '10.0.0.1')).toBeUndefined();
    expect(state.workloadByIp('', '10.0.0.2')).toBe(moved);
    state.apply(deltaOf({ removedWorkloads: [a.uid] }));
    expect(state.workload(a.uid)).toBeUndefined();
    expect(state.workloadByIp('', '10.0.0.2')).toBeUndefined();
    expect([...state.workloads()]).toEqual([]);
  });

  it('claim a shared address in the order Pod and HBONE, Pod, HBONE, rest', () => {
    const ip = '10.0.0.1';
    const rest = workloadOf('rest', ip, { uid: 'c//Entry/rest', protocol: 'tcp' });
    const hbone = workloadOf('hbone', ip, { uid: 'c//Entry/hbone' });
    const pod = workloadOf('pod', ip, { protocol: 'tcp' });
    const both = workloadOf('both', ip);
    const order = [rest, hbone, pod, both];
    for (const workload of order) {
      state.apply(deltaOf({ workloads: [workload] }));
      expect(state.workloadByIp('', ip)).toBe(workload);
    }
    for (const workload of order.reverse()) {
      expect(state.workloadByIp('', ip)).toBe(workload);
      state.apply(deltaOf({ removedWorkloads: [workload.uid] }));
    }
  });

  it('on the host network are endpoints but own no address', () => {
    const host = workloadOf('h', '10.0.0.1', { networkMode: 'host-network', services: behind('echo') });
    state.apply(deltaOf({ workloads: [host] }));
    expect(state.workloadByIp('', '10.0.0.1')).toBeUndefined();
    expect(state.endpointsOf(echoKey).map((endpoint) => endpoint.workload)).toEqual([host]);
  });
});

describe('endpoints', () => {
  const a = workloadOf('a', '10.0.0.1', { services: behind('echo', [[80, 81]]) });
  const b = workloadOf('b', '10.0.0.2', { services: behind('echo') });

  it('may come before their service', () => {
    state.apply(deltaOf({ workloads: [a] }));
    state.apply(deltaOf({ services: [serviceOf('echo', '10.1.0.1')] }));
    expect(state.endpointsOf(echoKey)).toEqual([{ workload: a, ports: new Map([[80, 81]]) }]);
  });

  it('are one array until they change, and arrays handed out never change', () => {
    state.apply(deltaOf({ workloads: [a, b] }));
    const before = state.endpointsOf(echoKey);
    state.apply(deltaOf({ workloads: [workloadOf('c', '10.0.0.3')] }));
    expect(state.endpointsOf(echoKey)).toBe(before);
    const sick = { ...a, status: 'unhealthy' as const };
    state.apply(deltaOf({ workloads: [sick] }));
    expect(before[0]?.workload).toBe(a);
    expect(state.endpointsOf(echoKey).map((endpoint) => endpoint.workload)).toEqual([sick, b]);
    state.apply(deltaOf({ workloads: [{ ...a, services: new Map() }], removedWorkloads: [b.uid] }));
    expect(state.endpointsOf(echoKey)).toEqual([]);
    expect(before).toHaveLength(2);
  });
});

describe('services', () => {
  const vip = '10.1.0.1';
  const mine = serviceOf('s', vip, { namespace: 'mine' });
  const canonical = serviceOf('s', vip, { namespace: 'theirs', canonical: true });
  const first = serviceOf('s', vip, { namespace: 'first' });

  it('are preferred by namespace, then canonical, then first', () => {
    state.apply(deltaOf({ services: [first, canonical, mine] }));
    expect(state.serviceByVip('', vip, 'mine')).toBe(mine);
    expect(state.serviceByVip('', vip, 'else')).toBe(canonical);
    state.apply(deltaOf({ removedServices: ['theirs/s.theirs.svc.cluster.local'] }));
    expect(state.serviceByVip('', vip, 'else')).toBe(first);
    expect(state.serviceByVip('net', vip, 'mine')).toBeUndefined();
  });

  it('hide from other namespaces when they say so', () => {
    state.apply(deltaOf({ services: [{ ...first, visibility: 'namespace' }] }));
    expect(state.serviceByVip('', vip, 'else')).toBeUndefined();
    expect(state.serviceByVip('', vip, 'first')?.namespace).toBe('first');
    expect(state.serviceByHostname(first.hostname, 'else')).toBeUndefined();
  });

  it('are found by hostname in any case', () => {
    const service = serviceOf('Echo', vip);
    state.apply(deltaOf({ services: [service] }));
    expect(state.serviceByHostname('echo.demo.svc.cluster.local', '')).toBe(service);
  });

  it('lose their old addresses when replaced', () => {
    state.apply(deltaOf({ services: [first] }));
    state.apply(deltaOf({ services: [{ ...first, vips: [{ network: '', ip: '10.1.0.2' }] }] }));
    expect(state.serviceByVip('', vip, '')).toBeUndefined();
    expect(state.serviceByVip('', '10.1.0.2', '')).toBeDefined();
    expect(state.serviceByHostname(first.hostname, '')?.vips[0]?.ip).toBe('10.1.0.2');
  });

  it('may own blocks: own namespace, then the longest, then the canonical', () => {
    const block = (namespace: string, cidr: string, more = {}): ReturnType<typeof serviceOf> =>
      serviceOf('b', '', { namespace, cidrVips: [{ network: '', cidr }], ...more });
    const wide = block('wide', '10.0.0.0/8');
    const long = block('long', '10.2.0.0/16');
    const longCanonical = block('canonical', '10.2.0.0/16', { canonical: true });
    const v6 = block('v6', '2001:db8::/32');
    const exact = serviceOf('e', '10.2.0.1', { namespace: 'exact' });
    const single = block('single', '10.3.0.1/32');
    state.apply(deltaOf({ services: [wide, long, longCanonical, v6, exact, single] }));
    const at = (ip: string, from = ''): string | undefined =>
      state.serviceByVip('', ip, from)?.namespace;
    expect(at('10.9.9.9')).toBe('wide');
    expect(at('10.2.9.9')).toBe('canonical');
    expect(at('10.2.9.9', 'long')).toBe('long');
    expect(at('10.2.9.9', 'wide')).toBe('wide');
    expect(at('10.2.0.1', 'wide')).toBe('exact');
    expect(at('10.3.0.1')).toBe('single');
    expect(at('2001:db8:5::1')).toBe('v6');
    expect(at('11.0.0.1')).toBeUndefined();
    state.apply(deltaOf({ removedServices: ['canonical/b.canonical.svc.cluster.local'] }));
    expect(at('10.2.9.9')).toBe('long');
    state.apply(deltaOf({ services: [{ ...long, cidrVips: [] }] }));
    expect(at('10.2.9.9')).toBe('wide');
  });
});

describe('policies', () => {
  it('are selected by scope and by name', () => {
    const global = policyOf('g', 'deny', [], { namespace: 'root', scope: 'global' });
    const local = policyOf('l', 'deny', []);
    const other = policyOf('o', 'deny', [], { namespace: 'other' });
    const named = policyOf('n', 'deny', [], { scope: 'workload-selector' });
    const workload = workloadOf('a', '10.0.0.1', { authorizationPolicies: ['demo/n', 'demo/lost'] });
    state.apply(deltaOf({ workloads: [workload], policies: [global, local, other, named] }));
    const selection = state.policiesFor(workload);
    expect(selection).toEqual({
      global: [global], namespace: [local], selected: [named], unknown: ['demo/lost'],
    });
    state.apply(deltaOf({ policies: [{ ...other, dryRun: true }] }));
    expect(state.policiesFor(workload).namespace).toBe(selection.namespace);
    state.apply(deltaOf({ policies: [{ ...local, scope: 'workload-selector' }] }));
    expect(state.policiesFor(workload).namespace).toEqual([]);
    state.apply(deltaOf({ removedPolicies: ['root/g', 'demo/n'] }));
    expect(state.policiesFor(workload)).toEqual({
      global: [], namespace: [], selected: [], unknown: ['demo/n', 'demo/lost'],
    });
  });
});
