import type {
  Denied, DenyReason, Explanation, FlowKey, FlowParties,
} from '../model/decision.js';

/** The facts of the key that are there. */
export function factsOf(key: FlowKey): (readonly [string, string])[] {
  const facts: [string, string][] = [
    ['kind', key.kind], ['workload', key.workload], ['source ip', key.sourceIp],
    ['destination', key.destination], ['local', key.local], ['authority', key.authority],
    ['peer identity', key.peerIdentity], ['forwarded host', key.forwardedHost],
    ['forwarded network', key.forwardedNetwork],
  ];
  return facts.filter(([, value]) => value !== '');
}

export function explanation(
  key: FlowKey, text: string, more: Partial<Pick<Explanation, 'policy' | 'dryRun'>> = {},
): Explanation {
  const { policy = '', dryRun = [] } = more;
  // One is kept per cached flow key, and its facts are hardly ever looked at.
  return {
    text, policy, dryRun,
    get facts() {
      return factsOf(key);
    },
  };
}

const statusOf: Record<DenyReason, Denied['status']> = {
  'bad-request': 400,
  'denied': 401,
  'unknown-destination': 503,
  'no-endpoint': 503,
  'recursion': 503,
  'unknown-local': 503,
};

/** Without a mesh-wide answer live flows end, unless only new ones have nowhere to go. */
export function denied(
  key: FlowKey, reason: DenyReason, parties: FlowParties, text: string,
  more: Partial<Pick<Explanation, 'policy' | 'dryRun'>> = {},
): Denied {
  return {
    allow: false,
    reason,
    status: key.kind === 'hbone' ? statusOf[reason] : 0,
    live: reason === 'no-endpoint' || reason === 'unknown-destination' ? 'keep' : 'close',
    parties,
    explanation: explanation(key, text, more),
  };
}
