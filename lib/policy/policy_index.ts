import { formatIp, maskIp, type Cidr, type IpBytes } from '../model/address.js';
import type { Authorization } from '../model/resources.js';
import { compilePolicy, type CompiledPolicy, type CompiledRule, type IndexKey } from './compile.js';
import type { PreparedFacts } from './facts.js';

interface Candidate {
  readonly policy: CompiledPolicy;
  readonly rule: CompiledRule;
  /** Place of the policy in the group: the first one that matches is the one that is named. */
  readonly order: number;
}

/** Rules by address block: one lookup per block length in use. */
class BlockTable {
  readonly #lengths = new Map<number, Map<string, Candidate[]>>();

  add(cidr: Cidr, candidate: Candidate): void {
    const width = cidr.bytes.length === 16 ? 1000 : 0;
    let blocks = this.#lengths.get(width + cidr.length);
    if (blocks === undefined) this.#lengths.set(width + cidr.length, blocks = new Map());
    push(blocks, formatIp(cidr.bytes), candidate);
  }

  find(bytes: IpBytes | undefined, found: Candidate[]): void {
    if (bytes === undefined || this.#lengths.size === 0) return;
    const width = bytes.length === 16 ? 1000 : 0;
    for (const [tagged, blocks] of this.#lengths) {
      const length = tagged - width;
      if (length < 0 || length > 8 * bytes.length) continue;
      const candidates = blocks.get(formatIp(maskIp(bytes, length)));
      if (candidates !== undefined) found.push(...candidates);
    }
  }
}

/** The rules of one action, found through what the facts hold instead of one after the other. */
class RuleTable {
  readonly #always: Candidate[] = [];
  readonly #values = {
    principal: new Map<string, Candidate[]>(),
    namespace: new Map<string, Candidate[]>(),
    'service-account': new Map<string, Candidate[]>(),
    port: new Map<number, Candidate[]>(),
  };
  readonly #source = new BlockTable();
  readonly #destination = new BlockTable();

  add(policy: CompiledPolicy, order: number): void {
    for (const rule of policy.rules) {
      const candidate = { policy, rule, order };
      if (rule.keys === undefined) this.#always.push(candidate);
      else for (const key of rule.keys) this.#addKey(key, candidate);
    }
  }

  /** The first policy, in the group's order, that matches. */
  match(facts: PreparedFacts): CompiledPolicy | undefined {
    let best: Candidate | undefined;
    for (const candidate of this.#candidates(facts)) {
      if ((best === undefined || candidate.order < best.order) && candidate.rule.holds(facts)) {
        best = candidate;
      }
    }
    return best?.policy;
  }

  /** All policies that match, in order. */
  matches(facts: PreparedFacts): CompiledPolicy[] {
    const hits = new Map<number, CompiledPolicy>();
    for (const { policy, rule, order } of this.#candidates(facts)) {
      if (!hits.has(order) && rule.holds(facts)) hits.set(order, policy);
    }
    return [...hits].sort(([a], [b]) => a - b).map(([, policy]) => policy);
  }

  #addKey(key: IndexKey, candidate: Candidate): void {
    switch (key.kind) {
      case 'port': return push(this.#values.port, key.value, candidate);
      case 'source': return this.#source.add(key.value, candidate);
      case 'destination': return this.#destination.add(key.value, candidate);
      default: return push(this.#values[key.kind], key.value, candidate);
    }
  }

  #candidates(facts: PreparedFacts): Candidate[] {
    const found = [...this.#always];
    const take = (candidates: Candidate[] | undefined): void => {
      if (candidates !== undefined) for (const one of candidates) found.push(one);
    };
    take(this.#values.principal.get(facts.principal));
    take(this.#values.namespace.get(facts.namespace));
    take(this.#values['service-account'].get(facts.serviceAccount));
    take(this.#values.port.get(facts.port));
    this.#source.find(facts.source, found);
    this.#destination.find(facts.destination, found);
    return found;
  }
}

/** A group of policies that apply together, ready to be asked. */
export class PolicyIndex {
  readonly deny = new RuleTable();
  readonly allow = new RuleTable();
  readonly dryRunDeny = new RuleTable();
  readonly dryRunAllow = new RuleTable();
  /** Enforced ALLOW policies there are; with one, whatever none of them allows is denied. */
  readonly allowCount: number;
  /** The first of them, for explanations. */
  readonly allowKeys: readonly string[];
  readonly dryRunAllowKeys: readonly string[];
  /** Enforced policies that could not be understood. */
  readonly broken: readonly CompiledPolicy[];

  constructor(policies: readonly Authorization[]) {
    const broken: CompiledPolicy[] = [];
    const allowing: string[] = [];
    const dryRunAllowing: string[] = [];
    let allowCount = 0;
    policies.forEach((written, order) => {
      const policy = compilePolicy(written);
      if (policy.error !== undefined) {
        if (!written.dryRun) broken.push(policy);
        return;
      }
      const allow = written.action === 'allow';
      if (written.dryRun) {
        (allow ? this.dryRunAllow : this.dryRunDeny).add(policy, order);
        if (allow) dryRunAllowing.push(policy.key);
        return;
      }
      (allow ? this.allow : this.deny).add(policy, order);
      if (!allow) return;
      allowCount += 1;
      if (allowing.length < namedMax) allowing.push(policy.key);
    });
    this.allowCount = allowCount;
    this.allowKeys = allowing;
    this.dryRunAllowKeys = dryRunAllowing.slice(0, namedMax);
    this.broken = broken;
  }
}

/** Policies that an explanation names at most. */
const namedMax = 8;

const indexes = new WeakMap<readonly Authorization[], PolicyIndex>();

/** The index of a group, made once per array object: the array must never change. */
export function indexOf(policies: readonly Authorization[]): PolicyIndex {
  let index = indexes.get(policies);
  if (index === undefined) indexes.set(policies, index = new PolicyIndex(policies));
  return index;
}

function push<Key>(table: Map<Key, Candidate[]>, key: Key, candidate: Candidate): void {
  const present = table.get(key);
  if (present === undefined) table.set(key, [candidate]);
  else present.push(candidate);
}
