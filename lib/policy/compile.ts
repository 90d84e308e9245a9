import { cidrContains, parseCidr, type Cidr } from '../model/address.js';
import type { Authorization, Match, ResourceKey, StringMatch } from '../model/resources.js';
import type { PreparedFacts } from './facts.js';

export type Test = (facts: PreparedFacts) => boolean;

/** A value that facts must hold for a match to have a chance; many matches share one lookup. */
export type IndexKey =
  | { readonly kind: 'principal' | 'namespace' | 'service-account'; readonly value: string }
  | { readonly kind: 'port'; readonly value: number }
  | { readonly kind: 'source' | 'destination'; readonly value: Cidr };

export interface CompiledRule {
  readonly holds: Test;
  /** The rule can only hold for facts with one of these; undefined when any facts will do. */
  readonly keys: readonly IndexKey[] | undefined;
}

export interface CompiledPolicy {
  readonly key: ResourceKey;
  readonly policy: Authorization;
  readonly rules: readonly CompiledRule[];
  /** Why the policy cannot be understood; it then denies whatever it applies to. */
  readonly error: string | undefined;
}

const compiled = new WeakMap<Authorization, CompiledPolicy>();

/** Compiles each policy object once. */
export function compilePolicy(policy: Authorization): CompiledPolicy {
  let result = compiled.get(policy);
  if (result === undefined) compiled.set(policy, result = compile(policy));
  return result;
}

class Unparsable extends Error {}

function compile(policy: Authorization): CompiledPolicy {
  const key = `${policy.namespace}/${policy.name}`;
  try {
    if (policy.action !== 'allow' && policy.action !== 'deny') {
      throw new Unparsable(`action ${JSON.stringify(policy.action)}`);
    }
    return { key, policy, rules: policy.rules.map(compileRule), error: undefined };
  } catch (error) {
    if (!(error instanceof Unparsable)) throw error;
    return { key, policy, rules: [], error: error.message };
  }
}

function compileRule(clauses: readonly (readonly Match[])[]): CompiledRule {
  const tests: Test[] = [];
  let keys: readonly IndexKey[] | undefined;
  for (const clause of clauses) {
    // A clause without matches holds.
    if (clause.length === 0) continue;
    const matches = clause.map(compileMatch);
    const any = matches.map((match) => match.holds);
    const [only] = any;
    tests.push(any.length === 1 && only !== undefined
      ? only : (facts) => any.some((test) => test(facts)));
    // The rule needs every clause, so the keys of any one clause will do: take the fewest.
    const own = unionOfKeys(matches);
    if (own !== undefined && (keys === undefined || own.length < keys.length)) keys = own;
  }
  return { holds: all(tests), keys };
}

/** undefined as soon as one of the matches can hold for any facts. */
function unionOfKeys(matches: readonly CompiledRule[]): IndexKey[] | undefined {
  const keys: IndexKey[] = [];
  for (const match of matches) {
    if (match.keys === undefined) return undefined;
    keys.push(...match.keys);
  }
  return keys;
}

function all(tests: readonly Test[]): Test {
  const [only] = tests;
  return tests.length === 1 && only !== undefined
    ? only : (facts) => tests.every((test) => test(facts));
}

function compileMatch(match: Match): CompiledRule {
  const tests: Test[] = [];
  let best: readonly IndexKey[] | undefined;
  const kind = <Written>(positive: readonly Written[], negative: readonly Written[],
    test: (written: Written) => Test, keyOf?: (written: Written) => IndexKey | undefined): void => {
    if (positive.length > 0) {
      const hits = positive.map(test);
      tests.push((facts) => hits.some((hit) => hit(facts)));
      const keys = positive.map((written) => keyOf?.(written));
      if (keys.every((key) => key !== undefined) && keys.length < (best?.length ?? Infinity)) {
        best = keys;
      }
    }
    if (negative.length > 0) {
      const hits = negative.map(test);
      tests.push((facts) => !hits.some((hit) => hit(facts)));
    }
  };
  // Most telling first, both for the index and for giving up early.
  kind(match.principals, match.notPrincipals, (written) => stringTest(written, 'principal'),
    (written) => exactKey(written, 'principal'));
  kind(match.serviceAccounts, match.notServiceAccounts, (written) => {
    const account = `${written.namespace}/${written.serviceAccount}`;
    return (facts) => facts.serviceAccount === account;
  }, (written) => ({
    kind: 'service-account', value: `${written.namespace}/${written.serviceAccount}`,
  }));
  kind(match.namespaces, match.notNamespaces, (written) => stringTest(written, 'namespace'),
    (written) => exactKey(written, 'namespace'));
  kind(match.sourceIps, match.notSourceIps, (written) => cidrTest(written, 'source'),
    (written) => ({ kind: 'source', value: cidrOf(written) }));
  kind(match.destinationPorts, match.notDestinationPorts, (written) => {
    const port = portOf(written);
    return (facts) => facts.port === port;
  }, (written) => ({ kind: 'port', value: written }));
  kind(match.destinationIps, match.notDestinationIps, (written) => cidrTest(written, 'destination'),
    (written) => ({ kind: 'destination', value: cidrOf(written) }));
  // A match without any condition never holds.
  if (tests.length === 0) return { holds: () => false, keys: [] };
  return { holds: all(tests), keys: best };
}

function exactKey(match: StringMatch, kind: 'principal' | 'namespace'): IndexKey | undefined {
  // '' is what facts without an identity hold, and an exact '' in a policy means them.
  return match.kind === 'exact' ? { kind, value: match.value } : undefined;
}

function stringTest(match: StringMatch, field: 'principal' | 'namespace'): Test {
  const needsIdentity = field === 'principal';
  const test = (hit: (text: string) => boolean): Test => (facts) =>
    // Without an identity there is no principal, so nothing about it can hit.
    !(needsIdentity && facts.principal === '') && hit(facts[field]);
  switch (match.kind) {
    case 'exact': return test((text) => text === match.value);
    case 'prefix': return test((text) => text.startsWith(match.value));
    case 'suffix': return test((text) => text.endsWith(match.value));
    case 'presence': return test((text) => text !== '');
    default: throw new Unparsable(`string match ${JSON.stringify(match)}`);
  }
}

function cidrOf(written: string): Cidr {
  const cidr = parseCidr(written);
  if (cidr === undefined) throw new Unparsable(`address block ${JSON.stringify(written)}`);
  return cidr;
}

function cidrTest(written: string, field: 'source' | 'destination'): Test {
  const cidr = cidrOf(written);
  return (facts) => facts[field] !== undefined && cidrContains(cidr, facts[field]);
}

function portOf(port: number): number {
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Unparsable(`port ${port}`);
  return port;
}
