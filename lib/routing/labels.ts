import { formatSpiffeId } from '../model/spiffe_id.js';
import type { Workload } from '../model/resources.js';

/** Its SPIFFE id. */
export function identityOf(workload: Workload): string {
  return formatSpiffeId(workload);
}

/** Letters that a header value may hold and that the baggage format does not use itself. */
const plainValue = /^[!#-+\--:<>-~]*$/;

const baggages = new WeakMap<Workload, string>();

/** Who a workload is, as a `baggage` header tells it; '' when nothing is known. */
export function baggageOf(workload: Workload): string {
  let baggage = baggages.get(workload);
  if (baggage === undefined) {
    const pairs: readonly (readonly [string, string])[] = [
      ['k8s.cluster.name', workload.clusterId],
      ['k8s.namespace.name', workload.namespace],
      [`k8s.${workload.workloadType}.name`, workload.workloadName],
      ['service.name', workload.canonicalName],
      ['service.version', workload.canonicalRevision],
      ['cloud.region', workload.locality.region],
      ['cloud.availability_zone', workload.locality.zone],
    ];
    baggage = pairs.filter(([, value]) => value !== '' && plainValue.test(value))
      .map(([key, value]) => `${key}=${value}`).join(',');
    baggages.set(workload, baggage);
  }
  return baggage;
}

/** The header as a list: empty when there is nothing to tell. */
export function baggageHeader(workload: Workload): readonly (readonly [string, string])[] {
  const baggage = baggageOf(workload);
  return baggage === '' ? [] : [['baggage', baggage]];
}
