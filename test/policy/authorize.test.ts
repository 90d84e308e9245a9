import { describe, expect, it } from 'vitest';

import { canonicalIp, cidrContains, parseCidr, parseIp } from '../../lib/model/address.js';
import type { Authorization, Match, StringMatch } from '../../lib/model/resources.js';
import { authorize, type ApplicablePolicies } from '../../lib/policy/authorize.js';
import type { ConnectionFacts } from '../../lib/policy/facts.js';
import { matchOf, policyOf } from '../support/nouns.js';

const applied = (namespace: readonly Authorization[],
  more: Partial<ApplicablePolicies> = {}): ApplicablePolicies =>
  ({ global: [], namespace, selected: [], unknown: [], ...more });

const client: ConnectionFacts = {
  sourceIp: '10.0.0.1', identity: 'spiffe://td/ns/shop/sa/web', destinationIp: '10.0.0.2',
  destinationPort: 8080,
};
const plaintext: ConnectionFacts = { ...client, identity: '' };

const exact = (value: string): StringMatch => ({ kind: 'exact', value });
const prefix = (value: string): StringMatch => ({ kind: 'prefix', value });
const suffix = (value: string): StringMatch => ({ kind: 'suffix', value });
const presence: StringMatch = { kind: 'presence' };

/** Whether one match holds, seen through a DENY policy made of it. */
const holds = (match: Partial<Match>, facts = client): boolean =>
  !authorize(applied([policyOf('p', 'deny', [match])]), facts).allowed;

describe('a match', () => {
  const web = 'td/ns/shop/sa/web';
  it.each<[string, Partial<Match>, boolean, boolean]>([
    // name, match, holds for the client, holds for plaintext
    ['nothing at all', {}, false, false],
    ['principal exact', { principals: [exact(web)] }, true, false],
    ['principal with the scheme', { principals: [exact(`spiffe://${web}`)] }, false, false],
    ['principal prefix', { principals: [prefix('td/ns/shop/')] }, true, false],
    ['principal suffix', { principals: [suffix('/sa/web')] }, true, false],
    ['principal presence', { principals: [presence] }, true, false],
    ['principal empty prefix', { principals: [prefix('')] }, true, false],
    ['principal empty exact', { principals: [exact('')] }, false, false],
    ['any of two principals', { principals: [exact('x'), suffix('web')] }, true, false],
    ['not this principal', { notPrincipals: [exact(web)] }, false, true],
    ['not any principal (STRICT)', { notPrincipals: [presence] }, false, true],
    ['not two principals', { notPrincipals: [exact('x'), exact('y')] }, true, true],
    ['principal but not itself',
      { principals: [presence], notPrincipals: [suffix('web')] }, false, false],
    ['principal but not another',
      { principals: [presence], notPrincipals: [suffix('db')] }, true, false],
    ['namespace exact', { namespaces: [exact('shop')] }, true, false],
    ['namespace is no substring', { namespaces: [exact('sho')] }, false, false],
    ['namespace prefix', { namespaces: [prefix('sh')] }, true, false],
    ['namespace presence', { namespaces: [presence] }, true, false],
    ['namespace empty', { namespaces: [exact('')] }, false, true],
    ['not namespace', { notNamespaces: [exact('shop')] }, false, true],
    ['service account', { serviceAccounts: [{ namespace: 'shop', serviceAccount: 'web' }] }, true, false],
    ['service account elsewhere',
      { serviceAccounts: [{ namespace: 'else', serviceAccount: 'web' }] }, false, false],
    ['not service account',
      { notServiceAccounts: [{ namespace: 'shop', serviceAccount: 'web' }] }, false, true],
    ['source block', { sourceIps: ['10.0.0.0/24'] }, true, true],
    ['source address', { sourceIps: ['10.0.0.1'] }, true, true],
    ['other source', { sourceIps: ['10.0.1.0/24', '::/0'] }, false, false],
    ['not source', { notSourceIps: ['10.0.0.0/31'] }, false, false],
    ['source but not a part', { sourceIps: ['10.0.0.0/8'], notSourceIps: ['10.0.0.0/31'] }, false, false],
    ['destination', { destinationIps: ['10.0.0.2/32'] }, true, true],
    ['not destination', { notDestinationIps: ['10.0.0.2/32'] }, false, false],
    ['port', { destinationPorts: [80, 8080] }, true, true],
    ['other port', { destinationPorts: [80] }, false, false],
    ['not port', { notDestinationPorts: [8080] }, false, false],
    ['not other port', { notDestinationPorts: [80] }, true, true],
    ['all kinds', {
      principals: [exact(web)], namespaces: [exact('shop')], sourceIps: ['0.0.0.0/0'],
      destinationIps: ['10.0.0.0/8'], destinationPorts: [8080], notDestinationPorts: [1],
      serviceAccounts: [{ namespace: 'shop', serviceAccount: 'web' }],
    }, true, false],
    ['all kinds but one', { principals: [exact(web)], destinationPorts: [1] }, false, false],
  ])('of %s', (_, match, identified, plain) => {
    expect(holds(match)).toBe(identified);
    expect(holds(match, plaintext)).toBe(plain);
  });

  it('ignores the trust domain in service accounts only', () => {
    const foreign = { ...client, identity: 'spiffe://other/ns/shop/sa/web' };
    expect(holds({ serviceAccounts: [{ namespace: 'shop', serviceAccount: 'web' }] }, foreign)).toBe(true);
    expect(holds({ principals: [exact('td/ns/shop/sa/web')] }, foreign)).toBe(false);
  });

  it('works on IPv6, and on IPv4 written as IPv6', () => {
    const v6 = { ...client, sourceIp: '2001:db8::1' };
    expect(holds({ sourceIps: ['2001:DB8::/32'] }, v6)).toBe(true);
    expect(holds({ sourceIps: ['0.0.0.0/0'] }, v6)).toBe(false);
    expect(holds({ sourceIps: ['::ffff:10.0.0.0/120'] })).toBe(true);
    expect(canonicalIp('::ffff:10.0.0.1')).toBe('10.0.0.1');
  });
});

describe('a policy', () => {
  const yes = matchOf({ destinationPorts: [8080] });
  const no = matchOf({ destinationPorts: [1] });
  it.each<[string, Authorization['rules'], boolean]>([
    ['without rules', [], false],
    ['with a rule without clauses', [[]], true],
    ['with a clause without matches', [[[]]], true],
    ['with an empty clause and one that fails', [[[], [no]]], false],
    ['whose clause has one of two matches', [[[no, yes]]], true],
    ['whose rule has one of two clauses', [[[yes], [no]]], false],
    ['whose rule has both clauses', [[[yes], [no, yes]]], true],
    ['with one of two rules', [[[no]], [[yes]]], true],
    ['with an empty match beside one that fails', [[[matchOf({}), no]]], false],
  ])('%s', (_, rules, matches) => {
    const policy = { ...policyOf('p', 'deny', []), rules };
    expect(authorize(applied([policy]), client).allowed).toBe(!matches);
  });
});

describe('the decision', () => {
  const all = [{ destinationPorts: [8080] }];
  const none = [{ destinationPorts: [1] }];
  it('allows without policies', () => {
    expect(authorize(applied([]), client)).toEqual({
      allowed: true, policy: '', text: 'no policy denies it and no ALLOW policy exists', dryRun: [],
    });
  });

  it('lets DENY win over ALLOW, in whatever group', () => {
    const allow = policyOf('yes', 'allow', all);
    const deny = policyOf('no', 'deny', all, { namespace: 'root', scope: 'global' });
    expect(authorize(applied([allow], { global: [deny] }), client)).toMatchObject({
      allowed: false, policy: 'root/no', text: 'explicitly denied by root/no',
    });
    expect(authorize(applied([allow], { selected: [deny] }), client).allowed).toBe(false);
  });

  it('allows what an ALLOW policy matches, and nothing else once there is one', () => {
    const hit = policyOf('hit', 'allow', all);
    const miss = policyOf('miss', 'allow', none, { scope: 'workload-selector' });
    expect(authorize(applied([hit], { selected: [miss] }), client)).toMatchObject({
      allowed: true, policy: 'demo/hit', text: 'allowed by demo/hit',
    });
    expect(authorize(applied([], { selected: [miss] }), client)).toMatchObject({
      allowed: false, policy: 'demo/miss',
      text: 'allow policies exist, but none allowed: demo/miss',
    });
    const many = Array.from({ length: 20 }, (_, i) => policyOf(`m${i}`, 'allow', none));
    expect(authorize(applied(many), client).text).toMatch(/m0, demo\/m1, .*m7 and 12 more$/);
  });

  it('denies through an ALLOW policy without rules (deny all)', () => {
    const nothing = { ...policyOf('nothing', 'allow', []), rules: [] };
    expect(authorize(applied([nothing]), client).allowed).toBe(false);
  });

  it('names the first of several', () => {
    const policies = ['b', 'a', 'c'].map((name, i) =>
      policyOf(name, 'deny', i === 1 ? [{ principals: [presence] }] : all));
    expect(authorize(applied(policies), client).policy).toBe('demo/b');
    expect(authorize(applied(policies.slice(1)), client).policy).toBe('demo/a');
  });

  it('reports dry-run policies and ignores them', () => {
    const deny = policyOf('d', 'deny', all, { dryRun: true });
    const allow = policyOf('a', 'allow', none, { dryRun: true });
    expect(authorize(applied([deny, allow]), client)).toEqual({
      allowed: true, policy: '', text: 'no policy denies it and no ALLOW policy exists',
      dryRun: ['would be denied by demo/d', 'would be denied: none of demo/a allows it'],
    });
    const hit = policyOf('a', 'allow', all, { dryRun: true });
    expect(authorize(applied([hit]), client).dryRun).toEqual(['would be allowed by demo/a']);
    expect(authorize(applied([policyOf('x', 'allow', none), hit]), client).allowed).toBe(false);
  });

  it('denies when the workload names a policy that nobody knows', () => {
    const allow = policyOf('yes', 'allow', all);
    expect(authorize(applied([allow], { unknown: ['demo/lost'] }), client)).toMatchObject({
      allowed: false, policy: 'demo/lost',
    });
  });

  it.each<[string, Partial<Match>, string]>([
    ['an address block', { notSourceIps: ['10.0.0.0/33'] }, '"10.0.0.0/33"'],
    ['a port', { destinationPorts: [65536] }, '65536'],
    ['a string match', { principals: [{ kind: 'regex', value: '.' } as never] }, 'regex'],
  ])('denies when %s cannot be understood, whatever the action', (_, match, value) => {
    for (const action of ['allow', 'deny'] as const) {
      const broken = policyOf('broken', action, [match]);
      const result = authorize(applied([policyOf('yes', 'allow', all), broken]), client);
      expect(result).toMatchObject({ allowed: false, policy: 'demo/broken' });
      expect(result.text).toContain(value);
    }
    expect(authorize(applied([policyOf('b', 'deny', [match], { dryRun: true })]), client).allowed)
      .toBe(true);
  });

  it('denies an unknown action', () => {
    const policy = policyOf('p', 'audit' as never, none);
    expect(authorize(applied([policy]), client).allowed).toBe(false);
  });
});

/** The model read from the page, without an index. */
function plain(policies: readonly Authorization[], facts: ConnectionFacts): boolean {
  const principal = facts.identity.replace('spiffe://', '');
  const [, , namespace = '', , account = ''] = principal.split('/');
  const text = (match: StringMatch, value: string): boolean =>
    match.kind === 'presence' ? value !== ''
      : match.kind === 'exact' ? value === match.value
        : match.kind === 'prefix' ? value.startsWith(match.value) : value.endsWith(match.value);
  const within = (cidr: string, ip: string): boolean => {
    const [block, bytes] = [parseCidr(cidr), parseIp(ip)];
    return block !== undefined && bytes !== undefined && cidrContains(block, bytes);
  };
  const kind = <T>(yes: readonly T[], not: readonly T[], hit: (one: T) => boolean): boolean =>
    (yes.length === 0 || yes.some(hit)) && !not.some(hit);
  const match = (m: Match): boolean => Object.values(m).some((list) => list.length > 0)
    && kind(m.principals, m.notPrincipals, (s) => principal !== '' && text(s, principal))
    && kind(m.namespaces, m.notNamespaces, (s) => text(s, namespace))
    && kind(m.serviceAccounts, m.notServiceAccounts, (s) => principal !== ''
      && s.namespace === namespace && s.serviceAccount === account)
    && kind(m.sourceIps, m.notSourceIps, (s) => within(s, facts.sourceIp))
    && kind(m.destinationIps, m.notDestinationIps, (s) => within(s, facts.destinationIp))
    && kind(m.destinationPorts, m.notDestinationPorts, (s) => s === facts.destinationPort);
  const hit = (policy: Authorization): boolean => policy.rules.some((rule) =>
    rule.every((clause) => clause.length === 0 || clause.some(match)));
  const enforced = policies.filter((policy) => !policy.dryRun);
  if (enforced.some((policy) => policy.action === 'deny' && hit(policy))) return false;
  const allows = enforced.filter((policy) => policy.action === 'allow');
  return allows.length === 0 || allows.some(hit);
}

describe('the index', () => {
  it('decides as the plain reading does, on random policies', () => {
    let seed = 20_260_101;
    const below = (bound: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % bound;
    };
    const some = <T>(make: () => T): T[] => below(4) === 0 ? Array.from({ length: 1 + below(2) }, make) : [];
    const name = (): string => ['a', 'b', 'ab', ''][below(4)] ?? '';
    const string = (): StringMatch =>
      [exact(name()), prefix(name()), suffix(name()), presence][below(4)] ?? presence;
    const principal = (): StringMatch => below(2) === 0
      ? exact(`td/ns/${name()}/sa/${name()}`) : [prefix('td/ns/a'), suffix('b'), presence][below(3)] ?? presence;
    const account = (): { namespace: string; serviceAccount: string } =>
      ({ namespace: name(), serviceAccount: name() });
    const block = (): string => below(4) === 0 ? `2001:db8::${below(4)}/${126 + below(3)}`
      : `10.0.0.${below(8)}/${[0, 8, 29, 30, 31, 32][below(6)]}`;
    const port = (): number => 1 + below(3);
    const match = (): Match => matchOf({
      principals: some(principal), notPrincipals: some(principal), namespaces: some(string),
      notNamespaces: some(string), serviceAccounts: some(account), notServiceAccounts: some(account),
      sourceIps: some(block), notSourceIps: some(block), destinationIps: some(block),
      notDestinationIps: some(block), destinationPorts: some(port), notDestinationPorts: some(port),
    });
    const list = <T>(most: number, make: () => T): T[] => Array.from({ length: below(most + 1) }, make);
    const ip = (): string => below(4) === 0 ? `2001:db8::${below(4)}` : `10.0.0.${below(8)}`;
    const outcomes = { allowed: 0, denied: 0 };
    for (let round = 0; round < 3_000; round++) {
      const policies = list(4, () => policyOf(`p${below(100)}`, below(2) === 0 ? 'allow' : 'deny', [], {
        rules: list(2, () => list(2, () => list(3, match))), dryRun: below(8) === 0,
      }));
      const facts: ConnectionFacts = {
        sourceIp: ip(), destinationIp: ip(), destinationPort: port(),
        identity: below(3) === 0 ? '' : `spiffe://td/ns/${name() || 'x'}/sa/${name() || 'y'}`,
      };
      const expected = plain(policies, facts);
      outcomes[expected ? 'allowed' : 'denied'] += 1;
      expect(authorize(applied(policies), facts).allowed, JSON.stringify({ policies, facts })).toBe(expected);
    }
    expect(Math.min(outcomes.allowed, outcomes.denied)).toBeGreaterThan(300);
  });

  it('looks at few of 10,000 policies', () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({
      ...policyOf(`p${i}`, 'deny', []),
      rules: Array.from({ length: 10 }, (_, rule) => [[matchOf(
        rule % 2 === 0 ? { principals: [exact(`td/ns/n${i}/sa/s${rule}`)] }
          : { sourceIps: [`100.${i >> 8}.${i & 255}.0/24`], destinationPorts: [8080] },
      )]]),
    }));
    const policies = applied(many);
    authorize(policies, client);
    const time = (applicable: ApplicablePolicies): number => {
      const start = process.hrtime.bigint();
      for (let i = 0; i < 2_000; i++) authorize(applicable, client);
      return Number(process.hrtime.bigint() - start) / 2_000;
    };
    time(policies);
    // In proportion to nothing: a scan of 100,000 rules would take milliseconds.
    expect(time(policies)).toBeLessThan(100_000);
    expect(holds({ principals: [presence] })).toBe(true);
  });
});
