/** What is asked about a flow and what is answered: the words between `routing` and the roles. */

import type { ResourceKey, Service, Workload } from './resources.js';

export type FlowKind = 'capture' | 'socks5' | 'forward' | 'plaintext' | 'hbone';

/**
 * All that a decision may depend on beside the mesh itself. Equal keys get equal decisions within
 * one generation. Addresses are text: `ip`, or `ip:port` with brackets around IPv6.
 */
export interface FlowKey {
  readonly kind: FlowKind;
  /** Uid of the workload whose listener accepted the flow. */
  readonly workload: ResourceKey;
  /** The downstream's address, without the port. */
  readonly sourceIp: string;
  /** Where the downstream wanted to go; '' for SOCKS5 with a domain name, unused for HBONE. */
  readonly destination: string;
  /** The address the connection arrived at. */
  readonly local: string;
  /** HBONE: `:authority`. SOCKS5: `domain:port`, else ''. */
  readonly authority: string;
  /** HBONE: the SPIFFE id of the verified certificate, else ''. */
  readonly peerIdentity: string;
  /** HBONE: `host` of the `forwarded` header. Telemetry only. */
  readonly forwardedHost: string;
  /** HBONE: `x-forwarded-network`, else ''. */
  readonly forwardedNetwork: string;
  /** Whether upstream connections may carry the downstream's address. */
  readonly spoof: boolean;
}

/** What telemetry shows about a flow; a missing workload or service is unknown there. */
export interface FlowParties {
  readonly reporter: 'source' | 'destination';
  readonly source?: Workload;
  /** SPIFFE id proven by mutual TLS, else ''. */
  readonly sourcePrincipal: string;
  readonly destination?: Workload;
  readonly destinationPrincipal: string;
  readonly service?: Service;
  readonly security: 'mutual_tls' | 'unknown';
}

/** One place a flow may be carried to. */
export interface RoutedEndpoint {
  readonly protocol: 'tcp' | 'hbone';
  /** `ip:port` to connect to: for `hbone` the tunnel port of the peer. */
  readonly dial: string;
  /** '' lets the kernel choose, 'downstream' carries the downstream's address, else an ip. */
  readonly bind: string;
  /** `hbone`: the SPIFFE id we present, else ''. */
  readonly sourceIdentity: string;
  /** `hbone`: the `:authority` to ask for, else ''. */
  readonly authority: string;
  /** `hbone`: the peer must present one of these SPIFFE ids; never empty for `hbone`. */
  readonly peers: readonly string[];
  /** `hbone`: request headers beside those that the engine makes. */
  readonly headers: readonly (readonly [string, string])[];
  /** `hbone`: `host` of the `forwarded` header; '' when no service was addressed. */
  readonly forwardedHost: string;
  /** Relative, at least 1. */
  readonly weight: number;
  /** Uid of the workload behind it; '' when the destination is outside the mesh. */
  readonly workload: ResourceKey;
  readonly parties: FlowParties;
}

/** A subset of the engine's close reasons, spelled the same. */
export type DenyReason =
  | 'denied' | 'recursion' | 'no-endpoint' | 'unknown-destination' | 'unknown-local'
  | 'bad-request';

/** Why a decision came out as it did, for logs and `explain`. */
export interface Explanation {
  /** One sentence without a full stop. */
  readonly text: string;
  /** Key of the policy that decided; '' when none did. */
  readonly policy: ResourceKey;
  /** The facts that were looked at, in order. */
  readonly facts: readonly (readonly [string, string])[];
  /** Dry-run policies that would have decided, as a sentence each. */
  readonly dryRun: readonly string[];
}

export interface Allowed {
  readonly allow: true;
  /** Never empty. */
  readonly endpoints: readonly RoutedEndpoint[];
  /** HBONE: headers of the 200 response. */
  readonly responseHeaders: readonly (readonly [string, string])[];
  readonly explanation: Explanation;
}

export interface Denied {
  readonly allow: false;
  readonly reason: DenyReason;
  /** HBONE: the status of the response; 0 for the other kinds. */
  readonly status: 0 | 400 | 401 | 503;
  /**
   * For live flows of this key: `close` when they are no longer permitted, `keep` when only new
   * ones have nowhere to go.
   */
  readonly live: 'keep' | 'close';
  readonly parties: FlowParties;
  readonly explanation: Explanation;
}

export type Decision = Allowed | Denied;
