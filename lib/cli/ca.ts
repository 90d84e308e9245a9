import type { Command } from 'commander';

import { Authority } from '../index.js';
import { print, UsageError } from './output.js';

interface InitFlags {
  dir: string;
  trustDomain: string;
  rootCert?: string;
  rootKey?: string;
}

async function init({ dir, trustDomain, rootCert, rootKey }: InitFlags): Promise<void> {
  if ((rootCert === undefined) !== (rootKey === undefined)) {
    throw new UsageError('--root-cert and --root-key belong together');
  }
  const adopt = rootCert === undefined || rootKey === undefined ? {}
    : { adopt: { certificateFile: rootCert, keyFile: rootKey } };
  await usable(Authority.init({ dir, trustDomain, ...adopt }));
  print(`certificate authority for ${trustDomain} in ${dir}; its root is ${dir}/root.pem`);
}

interface IssueFlags {
  dir: string;
  id: string;
  out: string;
}

async function issue({ dir, id, out }: IssueFlags): Promise<void> {
  const authority = await usable(Authority.open(dir));
  try {
    const { notAfterMs } = await usable(authority.issueTo(out, id));
    const until = new Date(notAfterMs).toISOString();
    print(`${id} until ${until}: ${out}.pem, ${out}-key.pem`);
  } finally {
    await authority[Symbol.asyncDispose]();
  }
}

/** What fails here is a file or a flag that the user gave. */
async function usable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

export function addCa(program: Command): void {
  const ca = program.command('ca').description('a certificate authority in a directory');
  ca.command('init').description('make one, or adopt an existing root')
    .requiredOption('--dir <DIR>', 'where to keep it; made when missing')
    .option('--trust-domain <DOMAIN>', 'trust domain of the identities', 'cluster.local')
    .option('--root-cert <FILE>', 'certificate of an existing root, PEM')
    .option('--root-key <FILE>', 'its private key, PEM')
    .action(init);
  ca.command('issue').description('write a certificate and its key for an identity')
    .requiredOption('--dir <DIR>', 'directory of the authority')
    .requiredOption('--id <SPIFFE_ID>', 'such as spiffe://cluster.local/ns/demo/sa/web')
    .requiredOption('--out <PREFIX>', 'writes PREFIX.pem and PREFIX-key.pem')
    .action(issue);
}
