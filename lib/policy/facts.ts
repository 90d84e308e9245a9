import { parseIp, type IpBytes } from '../model/address.js';
import { parseSpiffeId, principalOf } from '../model/spiffe_id.js';

/** What an authorization policy may look at. */
export interface ConnectionFacts {
  readonly sourceIp: string;
  /** The peer's SPIFFE id from mutual TLS; '' for plaintext. */
  readonly identity: string;
  readonly destinationIp: string;
  readonly destinationPort: number;
}

/** The same, taken apart once for all policies. */
export interface PreparedFacts {
  readonly given: ConnectionFacts;
  /** undefined when the text is no address: blocks then do not contain it. */
  readonly source: IpBytes | undefined;
  readonly destination: IpBytes | undefined;
  readonly port: number;
  /** The id without its scheme; '' when there is none. */
  readonly principal: string;
  readonly namespace: string;
  /** `namespace/account`; '' when there is no identity. */
  readonly serviceAccount: string;
}

export function prepareFacts(facts: ConnectionFacts): PreparedFacts {
  const id = parseSpiffeId(facts.identity);
  return {
    given: facts,
    source: parseIp(facts.sourceIp),
    destination: parseIp(facts.destinationIp),
    port: facts.destinationPort,
    principal: principalOf(facts.identity),
    namespace: id?.namespace ?? '',
    serviceAccount: id === undefined ? '' : `${id.namespace}/${id.serviceAccount}`,
  };
}
