import type { FlowParties } from '../model/decision.js';
import { parseSpiffeId } from '../model/spiffe_id.js';
import type { Workload } from '../model/resources.js';

/** The labels of the `istio_tcp_*` families in the peer's order. */
export const tcpLabelNames = [
  'reporter', 'source_workload', 'source_canonical_service', 'source_canonical_revision',
  'source_workload_namespace', 'source_principal', 'source_app', 'source_version', 'source_cluster',
  'destination_service', 'destination_service_namespace', 'destination_service_name',
  'destination_workload', 'destination_canonical_service', 'destination_canonical_revision',
  'destination_workload_namespace', 'destination_principal', 'destination_app',
  'destination_version', 'destination_cluster', 'request_protocol', 'response_flags',
  'connection_security_policy',
] as const;

/** Present only when the locality of one of the two is known. */
export const localityLabelNames = [
  'source_region', 'source_zone', 'destination_region', 'destination_zone',
] as const;

export type TcpLabels = Readonly<Record<string, string>>;

const unknown = 'unknown';
/** A peer may choose its names: none makes a series longer than this many characters. */
const valueCharsMax = 256;

function known(value: string | undefined): string {
  if (value === undefined || value === '') return unknown;
  return value.length > valueCharsMax ? value.slice(0, valueCharsMax) : value;
}

function workloadLabels(side: 'source' | 'destination', workload: Workload | undefined,
  principal: string): Record<string, string> {
  return {
    [`${side}_workload`]: known(workload?.workloadName || workload?.name),
    [`${side}_canonical_service`]: known(workload?.canonicalName),
    [`${side}_canonical_revision`]: known(workload?.canonicalRevision),
    // Without a record the certificate still tells the namespace.
    [`${side}_workload_namespace`]: known(
      workload?.namespace ?? parseSpiffeId(principal)?.namespace),
    [`${side}_principal`]: known(principal),
    [`${side}_app`]: known(workload?.canonicalName),
    [`${side}_version`]: known(workload?.canonicalRevision),
    [`${side}_cluster`]: known(workload?.clusterId),
  };
}

export function tcpLabels(parties: FlowParties): TcpLabels {
  const { source, destination, service } = parties;
  const labels: Record<string, string> = {
    reporter: parties.reporter,
    ...workloadLabels('source', source, parties.sourcePrincipal),
    destination_service: known(service?.hostname),
    destination_service_namespace: known(service?.namespace),
    destination_service_name: known(service?.name),
    ...workloadLabels('destination', destination, parties.destinationPrincipal),
    request_protocol: 'tcp',
    response_flags: '',
    connection_security_policy: parties.security,
  };
  const places = [source?.locality, destination?.locality];
  if (places.some((place) => place !== undefined && (place.region !== '' || place.zone !== ''))) {
    labels['source_region'] = known(source?.locality.region);
    labels['source_zone'] = known(source?.locality.zone);
    labels['destination_region'] = known(destination?.locality.region);
    labels['destination_zone'] = known(destination?.locality.zone);
  }
  return labels;
}

/** The label set of a sample: the flags differ by sample, the rest by series. */
export function withFlags(labels: TcpLabels, flags: string): TcpLabels {
  return { ...labels, response_flags: flags };
}

/** What label sets with no room for a series of their own are counted under. */
export const overflowLabels: TcpLabels = Object.fromEntries(
  tcpLabelNames.map((name) => [name, name === 'request_protocol' ? 'tcp' : 'overflow']));

/** Equal for equal label sets. */
export function labelKey(labels: TcpLabels): string {
  return Object.values(labels).join('\u0000');
}
