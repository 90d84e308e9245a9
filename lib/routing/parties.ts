import type { FlowParties } from '../model/decision.js';
import type { Service, Workload } from '../model/resources.js';

interface Known {
  readonly source?: Workload | undefined;
  readonly sourcePrincipal?: string;
  readonly destination?: Workload | undefined;
  readonly destinationPrincipal?: string;
  readonly service?: Service | undefined;
  readonly security?: FlowParties['security'];
}

/** Leaves out what is not known. */
export function partiesOf(reporter: FlowParties['reporter'], known: Known): FlowParties {
  return {
    reporter,
    ...(known.source === undefined ? {} : { source: known.source }),
    sourcePrincipal: known.sourcePrincipal ?? '',
    ...(known.destination === undefined ? {} : { destination: known.destination }),
    destinationPrincipal: known.destinationPrincipal ?? '',
    ...(known.service === undefined ? {} : { service: known.service }),
    security: known.security ?? 'unknown',
  };
}
