import type { Service } from '../model/resources.js';
import type { MeshView } from '../state/view.js';

/** What a client of this namespace may mean by a name, the name itself first. */
export function aliasesOf(name: string, namespace: string, clusterDomain: string): string[] {
  const labels = name.split('.');
  const service = labels.at(-1) === 'svc';
  const aliases = [name];
  if (labels.length === 2) aliases.push(`${name}.svc.${clusterDomain}`);
  if (labels.length <= 2) aliases.push(`${name}.${namespace}.svc.${clusterDomain}`);
  if (labels.length >= 3 && labels.length <= 4 && service) aliases.push(`${name}.${clusterDomain}`);
  if (labels.length === 3) aliases.push(`${name}.svc.${clusterDomain}`);
  return aliases;
}

/** The service a name means; hosts such as `*.example.com` stand for every name below. */
export function serviceByName(
  state: MeshView, name: string, namespace: string, clusterDomain: string,
): Service | undefined {
  const written = (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
  for (const alias of aliasesOf(written, namespace, clusterDomain)) {
    const exact = state.serviceByHostname(alias, namespace);
    if (exact !== undefined) return exact;
    for (let dot = alias.indexOf('.'); dot >= 0; dot = alias.indexOf('.', dot + 1)) {
      const wild = state.serviceByHostname(`*${alias.slice(dot)}`, namespace);
      if (wild !== undefined) return wild;
    }
  }
  return undefined;
}
