import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { Authority } from 'onehop';

import type { Side } from '../system.js';

/** What every peer presents and trusts: ECDSA P-256, the name a SPIFFE URI and nothing else. */
export interface Credentials {
  /** `spiffe://cluster.local/ns/bench/sa/near` or `far`. */
  readonly identity: string;
  /** The other hop's name. */
  readonly peerIdentity: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Certificate and key in one file. */
  readonly combinedFile: string;
  readonly rootFile: string;
}

const identityOf = (side: Side): string => `spiffe://cluster.local/ns/bench/sa/${side}`;
const authorities = new Map<string, Promise<string>>();
const issued = new Map<string, Promise<Record<Side, Credentials>>>();

function once<T>(made: Map<string, Promise<T>>, folder: string,
  make: () => Promise<T>): Promise<T> {
  const known = made.get(folder) ?? make();
  made.set(folder, known);
  return known;
}

/** The directory of the authority of `folder`, made as `onehop ca init` does at the first call. */
export function authorityOf(folder: string): Promise<string> {
  return once(authorities, folder, async () => {
    const dir = join(folder, 'ca');
    await Authority.init({ dir });
    return dir;
  });
}

/** What that authority issues for both hops, once. */
export function credentialsOf(folder: string): Promise<Record<Side, Credentials>> {
  return once(issued, folder, () => issueCredentials(folder));
}

async function issueCredentials(folder: string): Promise<Record<Side, Credentials>> {
  const dir = await authorityOf(folder);
  const authority = await Authority.open(dir);
  const issue = async (side: Side, other: Side): Promise<Credentials> => {
    const prefix = join(folder, side);
    await authority.issueTo(prefix, identityOf(side));
    const made = {
      identity: identityOf(side), peerIdentity: identityOf(other),
      certificateFile: `${prefix}.pem`, keyFile: `${prefix}-key.pem`,
      combinedFile: `${prefix}-combined.pem`, rootFile: join(dir, 'root.pem'),
    };
    const parts = await Promise.all([made.certificateFile, made.keyFile]
      .map((file) => readFile(file, 'utf8')));
    await writeFile(made.combinedFile, parts.join(''), { mode: 0o600 });
    return made;
  };
  try {
    return { near: await issue('near', 'far'), far: await issue('far', 'near') };
  } finally {
    await authority[Symbol.asyncDispose]();
  }
}
