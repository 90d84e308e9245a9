export interface RoutingOptions {
  /** Where peers accept tunnels. */
  readonly hbonePort: number;
  /** Ports of our own listeners: a flow to one of them on ourselves would go round for ever. */
  readonly ownPorts: ReadonlySet<number>;
  /** `ip:port` of further listeners of ours, where whoever connects speaks as a workload. */
  readonly ownAddresses: ReadonlySet<string>;
  /** Endpoints in one decision at most; the rest of a larger service serves other sources. */
  readonly endpointsMax: number;
  /** DNS domain of the cluster: short service names are completed with it. */
  readonly clusterDomain: string;
}

export const defaultRoutingOptions: RoutingOptions = {
  hbonePort: 15_008,
  ownPorts: new Set([15_001, 15_006, 15_008, 15_080]),
  ownAddresses: new Set(),
  endpointsMax: 256,
  clusterDomain: 'cluster.local',
};
