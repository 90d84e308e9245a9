import { isLoopback } from '../model/address.js';
import type { Decision, FlowKey } from '../model/decision.js';
import type { Workload } from '../model/resources.js';

/**
 * Whoever uses such a port speaks in the workload's name, so only the workload itself may, and
 * loopback; in a namespace of its own SOCKS5 is on loopback alone.
 */
export function isForeign({ kind, sourceIp }: FlowKey, source: Workload): boolean {
  const speaks = kind === 'forward' || (kind === 'socks5' && source.netns === '');
  return speaks && !isLoopback(sourceIp) && !source.ips.includes(sourceIp);
}

export function refuseForeign(key: FlowKey, source: Workload): Decision {
  const port = key.kind === 'forward' ? `port ${key.local}` : 'SOCKS5 port';
  return {
    allow: false, reason: 'denied', status: 0, live: 'close',
    parties: {
      reporter: 'source', source, sourcePrincipal: '', destinationPrincipal: '', security: 'unknown',
    },
    explanation: {
      text: `only ${source.uid} itself may use its ${port}, and ${key.sourceIp} is none of its `
        + 'addresses', policy: '', facts: [['source ip', key.sourceIp]], dryRun: [],
    },
  };
}
