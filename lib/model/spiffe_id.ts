/** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. */
export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const scheme = 'spiffe://';

/** Accepts exactly the five segments, none empty. */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (!text.startsWith(scheme)) return undefined;
  const [trustDomain, ns, namespace, sa, serviceAccount, ...more] =
    text.slice(scheme.length).split('/');
  if (more.length > 0 || ns !== 'ns' || sa !== 'sa') return undefined;
  if (!trustDomain || !namespace || !serviceAccount) return undefined;
  return { trustDomain, namespace, serviceAccount };
}

export function formatSpiffeId(id: SpiffeId): string {
  return `${scheme}${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}`;
}

/** As policies write it: without the scheme. '' when there is no identity. */
export function principalOf(identity: string): string {
  return identity.startsWith(scheme) ? identity.slice(scheme.length) : identity;
}
