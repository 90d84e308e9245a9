import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { packageRoot } from '../paths.js';
import { sample, type Effort, type MicroRow } from './sample.js';

/** What of dist/policy is used here. */
interface PolicyModule {
  authorize(policies: object, facts: object): { readonly allowed: boolean };
}

interface Group { readonly policies: readonly object[]; readonly callers: readonly object[] }

const counts = [0, 100, 10_000];
const callersMax = 64;
const operations = 200;

const none = {
  namespaces: [], notNamespaces: [], principals: [], notPrincipals: [], serviceAccounts: [],
  notServiceAccounts: [], sourceIps: [], notSourceIps: [], destinationIps: [],
  notDestinationIps: [], destinationPorts: [], notDestinationPorts: [],
};

/** Each allows one service account to one port; callers are those of policies all over the list. */
function group(count: number): Group {
  const policies = Array.from({ length: count }, (_, index) => {
    const value = `cluster.local/ns/shop/sa/app-${index}`;
    const match = {
      ...none, principals: [{ kind: 'exact', value }], destinationPorts: [8080],
    };
    return {
      name: `allow-${index}`, namespace: 'shop', scope: 'namespace', action: 'allow',
      rules: [[[match]]], dryRun: false,
    };
  });
  const callers = Array.from({ length: callersMax }, (_, index) => ({
    sourceIp: `10.244.0.${index + 1}`, destinationIp: '10.244.1.17', destinationPort: 8080,
    identity: 'spiffe://cluster.local/ns/shop/sa/app-'
      + Math.floor(index * Math.max(count, 1) / callersMax),
  }));
  return { policies, callers };
}

const applied = (namespace: readonly object[]): object =>
  ({ global: [], namespace, selected: [], unknown: [] });

function allowed(authorize: PolicyModule['authorize'], policies: object, facts: object): void {
  if (!authorize(policies, facts).allowed) throw new Error('a policy that should allow does not');
}

function timed(action: () => void): number {
  const begin = process.hrtime.bigint();
  action();
  return Number(process.hrtime.bigint() - begin);
}

/** The decision about one flow key in TypeScript, with an index as it stands, and making that. */
export async function measurePolicies(effort: Effort, chosen: (name: string) => boolean,
  done: (row: MicroRow) => void): Promise<void> {
  const url = pathToFileURL(join(packageRoot, 'dist', 'policy', 'authorize.js')).href;
  const { authorize } = await import(url) as PolicyModule;
  for (const count of counts) {
    const name = `evaluate ${count.toLocaleString('en')} policies`;
    if (!chosen(name)) continue;
    const { policies, callers } = group(count);
    const standing = applied(policies);
    allowed(authorize, standing, callers[0] ?? {});
    done(await sample({ group: 'Policy', name }, () => {
      const nanos = timed(() => {
        for (let index = 0; index < operations; index += 1) {
          allowed(authorize, standing, callers[index % callersMax] ?? {});
        }
      });
      return { nanos, operations };
    }, effort));
  }
  const most = counts.at(-1) ?? 0;
  const name = `index ${most.toLocaleString('en')} policies for the first evaluation`;
  if (!chosen(name)) return;
  done(await sample({ group: 'Policy', name }, () => {
    const { policies, callers } = group(most);
    const fresh = applied(policies);
    return { nanos: timed(() => allowed(authorize, fresh, callers[0] ?? {})), operations: 1 };
  }, { ...effort, samplesMin: Math.min(effort.samplesMin, 8) }));
}
