/** The nouns of the mesh: what discovery delivers and `state` holds. Plain, immutable values. */

/** `ns/name` of a policy, `ns/hostname` of a service, uid of a workload. */
export type ResourceKey = string;

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

/** `network/ip` when `address`, `namespace/hostname` when `host`. */
export type GatewayDestination =
  | { readonly kind: 'address'; readonly network: string; readonly ip: string }
  | { readonly kind: 'host'; readonly namespace: string; readonly hostname: string };

export interface GatewayAddress {
  readonly destination: GatewayDestination;
  readonly hboneMtlsPort: number;
}

export interface Workload {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly ips: readonly string[];
  readonly network: string;
  readonly networkMode: 'standard' | 'host-network';
  readonly protocol: 'hbone' | 'tcp';
  readonly waypoint?: GatewayAddress;
  readonly networkGateway?: GatewayAddress;
  readonly workloadName: string;
  readonly workloadType: 'deployment' | 'cronjob' | 'pod' | 'job';
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly hostname: string;
  readonly node: string;
  readonly nativeTunnel: boolean;
  readonly applicationTunnel?: { readonly protocol: 'none' | 'proxy'; readonly port?: number };
  readonly authorizationPolicies: readonly ResourceKey[];
  readonly status: 'healthy' | 'unhealthy';
  readonly clusterId: string;
  readonly locality: Locality;
  /** Weight among the endpoints of a service; 0 is never picked. */
  readonly capacity: number;
  /** Service key to service port to target port. */
  readonly services: ReadonlyMap<ResourceKey, ReadonlyMap<number, number>>;
  /** Our extension: the network namespace to listen in; '' is our own. */
  readonly netns: string;
}

export type Scope = 'region' | 'zone' | 'subzone' | 'node' | 'cluster' | 'network';

export interface Service {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly vips: readonly { readonly network: string; readonly ip: string }[];
  readonly cidrVips: readonly { readonly network: string; readonly cidr: string }[];
  /** Service port to target port; target 0 means each endpoint names its own. */
  readonly ports: ReadonlyMap<number, number>;
  readonly subjectAltNames: readonly string[];
  readonly waypoint?: GatewayAddress;
  readonly weightedWaypoints: readonly {
    readonly destination: GatewayAddress;
    readonly weight: number;
  }[];
  readonly loadBalancer: {
    readonly mode: 'standard' | 'strict' | 'failover' | 'passthrough';
    readonly scopes: readonly Scope[];
    readonly healthPolicy: 'only-healthy' | 'allow-all';
  };
  readonly ipFamilies: 'automatic' | 'ipv4' | 'ipv6' | 'dual';
  readonly canonical: boolean;
  readonly visibility: 'public' | 'namespace';
}

export type StringMatch =
  | { readonly kind: 'exact' | 'prefix' | 'suffix'; readonly value: string }
  | { readonly kind: 'presence' };

export interface ServiceAccountMatch {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** All populated kinds must hold; within a kind: any positive hit and no negative hit. */
export interface Match {
  readonly namespaces: readonly StringMatch[];
  readonly notNamespaces: readonly StringMatch[];
  readonly principals: readonly StringMatch[];
  readonly notPrincipals: readonly StringMatch[];
  readonly serviceAccounts: readonly ServiceAccountMatch[];
  readonly notServiceAccounts: readonly ServiceAccountMatch[];
  readonly sourceIps: readonly string[];
  readonly notSourceIps: readonly string[];
  readonly destinationIps: readonly string[];
  readonly notDestinationIps: readonly string[];
  readonly destinationPorts: readonly number[];
  readonly notDestinationPorts: readonly number[];
}

/** Matches when any rule does; a rule is all of its clauses; a clause is any of its matches. */
export interface Authorization {
  readonly name: string;
  readonly namespace: string;
  readonly scope: 'global' | 'namespace' | 'workload-selector';
  readonly action: 'allow' | 'deny';
  readonly rules: readonly (readonly (readonly Match[])[])[];
  readonly dryRun: boolean;
}

/** Removals by key first, then upserts, as one generation. */
export interface Delta {
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  readonly policies: readonly Authorization[];
  readonly removedWorkloads: readonly ResourceKey[];
  readonly removedServices: readonly ResourceKey[];
  readonly removedPolicies: readonly ResourceKey[];
}
