import type { Authorization, ResourceKey } from '../model/resources.js';
import { prepareFacts, type ConnectionFacts } from './facts.js';
import { indexOf } from './policy_index.js';

/** The policies that apply to the destination. Equal array objects are compiled once. */
export interface ApplicablePolicies {
  readonly global: readonly Authorization[];
  readonly namespace: readonly Authorization[];
  readonly selected: readonly Authorization[];
  /** Keys that the workload names and nobody knows. */
  readonly unknown: readonly ResourceKey[];
}

export interface Authorized {
  readonly allowed: boolean;
  /** The policy that decided; '' when none did, or several by not allowing. */
  readonly policy: ResourceKey;
  /** One sentence without a full stop. */
  readonly text: string;
  /** What dry-run policies would have done, as a sentence each. */
  readonly dryRun: readonly string[];
}

/**
 * The L4 authorization model: any DENY that matches denies; with no ALLOW policy everything else is
 * allowed; with one or more, only what one of them matches. Dry-run policies are only reported. A
 * policy that is named but unknown, or cannot be understood, denies: what it would have said is not
 * known.
 */
export function authorize(policies: ApplicablePolicies, facts: ConnectionFacts): Authorized {
  const groups = [policies.selected, policies.namespace, policies.global]
    .filter((group) => group.length > 0).map(indexOf);
  const prepared = prepareFacts(facts);
  const dryRun = groups.flatMap((group) => group.dryRunDeny.matches(prepared))
    .map((policy) => `would be denied by ${policy.key}`);
  const say = (allowed: boolean, policy: ResourceKey, text: string): Authorized =>
    ({ allowed, policy, text, dryRun });

  for (const group of groups) {
    const policy = group.deny.match(prepared);
    if (policy !== undefined) return say(false, policy.key, `explicitly denied by ${policy.key}`);
  }
  for (const group of groups) {
    const [policy] = group.broken;
    if (policy !== undefined) {
      return say(false, policy.key,
        `${policy.key} cannot be understood (${policy.error}), so it denies everything`);
    }
  }
  const [unknown] = policies.unknown;
  if (unknown !== undefined) {
    return say(false, unknown, `the workload names the policy ${unknown}, which is not known`);
  }

  const trial = groups.flatMap((group) => group.dryRunAllow.matches(prepared));
  for (const policy of trial) dryRun.push(`would be allowed by ${policy.key}`);
  const trialKeys = groups.flatMap((group) => group.dryRunAllowKeys);
  if (trial.length === 0 && trialKeys.length > 0) {
    dryRun.push(`would be denied: none of ${trialKeys.join(', ')} allows it`);
  }
  const count = groups.reduce((sum, group) => sum + group.allowCount, 0);
  if (count === 0) return say(true, '', 'no policy denies it and no ALLOW policy exists');
  for (const group of groups) {
    const policy = group.allow.match(prepared);
    if (policy !== undefined) return say(true, policy.key, `allowed by ${policy.key}`);
  }
  const named = groups.flatMap((group) => group.allowKeys);
  const more = count > named.length ? ` and ${count - named.length} more` : '';
  return say(false, count === 1 ? named[0] ?? '' : '',
    `allow policies exist, but none allowed: ${named.join(', ')}${more}`);
}
