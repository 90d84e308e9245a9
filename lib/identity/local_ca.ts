import { createPrivateKey, createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { chmod, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { workerTask, type WorkerPool } from '../workers/pool.js';
import {
  certificatesOf, timesOf, type CertificateSource, type IssuedCertificate,
} from './certificate.js';
import type { LeafCertificate, LeafRequest, KeyedCertificate, RootRequest } from './certificate_task.js';

const makeRoot = workerTask<RootRequest, KeyedCertificate>(
  import.meta.url, './certificate_task.js', 'makeRoot');
const issueLeaf = workerTask<LeafRequest, LeafCertificate>(
  import.meta.url, './certificate_task.js', 'issueLeaf');

const dayMs = 86_400_000;
const rootTtlMs = 3650 * dayMs;
export const defaultCertificateTtlMs = dayMs;

const trustDomainPattern = /^[a-z0-9._-]{1,255}$/;
/** Path of a SPIFFE id: one or more segments (SPIFFE-ID 2.2). */
const pathPattern = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/;
const identityBytesMax = 2048;

export interface InitCaOptions {
  dir: string;
  trustDomain: string;
  /** PEM files of an existing authority: its certificate first, then intermediates, root last. */
  adopt?: { certificateFile: string; keyFile: string };
}

export interface CaOptions {
  workers: WorkerPool;
  /** Life of what it issues; cut to the authority's own. */
  certificateTtlMs?: number;
  now?: () => number;
}

/** Creates a file that did not exist, readable by its owner alone when it holds a secret. */
async function create(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(path, mode);
}

function readKey(pem: string, what: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${what}: no usable private key (unencrypted PEM would be right): ${why}`);
  }
}

interface Authority {
  signer: X509Certificate;
  /** Between the leaf and the root; empty when the root signs. */
  intermediates: X509Certificate[];
  root: X509Certificate;
  keyPem: string;
}

/** Checks that certificates and key make an authority that peers will accept. */
function checkAuthority(chainPem: string, keyPem: string, chainName: string, keyName: string): Authority {
  const chain = certificatesOf(chainPem, chainName);
  const key = readKey(keyPem, keyName);
  const signer = chain[0];
  const root = chain[chain.length - 1];
  if (signer === undefined || root === undefined) throw new Error(`${chainName}: is empty`);
  if (!signer.ca) {
    throw new Error(`${chainName}: the first certificate (${signer.subject || 'no subject'}) is not a `
      + 'certificate authority; basicConstraints CA:TRUE would be right');
  }
  if (!signer.checkPrivateKey(key)) {
    throw new Error(`${keyName}: is not the key of the first certificate in ${chainName}`);
  }
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1] ?? root;
    if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
      const right = issuer === certificate
        ? 'a self-signed root as the last certificate would be right'
        : 'each certificate followed by its issuer would be right';
      throw new Error(`${chainName}: certificate ${index + 1} is not signed by `
        + `${issuer === certificate ? 'itself' : `certificate ${index + 2}`}; ${right}`);
    }
  }
  if (timesOf(signer).notAfterMs <= Date.now()) {
    throw new Error(`${chainName}: the authority expired at ${signer.validTo}`);
  }
  // Fails early for keys that cannot sign certificates here.
  if (!['ec', 'rsa'].includes(createPublicKey(key).asymmetricKeyType ?? '')) {
    throw new Error(`${keyName}: is ${key.asymmetricKeyType ?? 'unknown'}; EC or RSA would be right`);
  }
  return { signer, intermediates: chain.slice(1, -1), root, keyPem };
}

const pemOf = (certificate: X509Certificate): string => certificate.toString().trimEnd() + '\n';

/**
 * Makes an authority in `dir`: `root.pem`, `ca.pem` (the signing certificate up to the root),
 * `ca-key.pem` (mode 0600), `ca.json`. Throws when one is there already, and leaves it as it is.
 */
export async function initCa(options: InitCaOptions, workers: WorkerPool): Promise<void> {
  if (!trustDomainPattern.test(options.trustDomain)) {
    throw new Error(`trust domain '${options.trustDomain}': lower-case letters, digits, '.', '-' `
      + "and '_' would be right, as in cluster.local");
  }
  let chainPem: string;
  let keyPem: string;
  if (options.adopt === undefined) {
    const made = await workers.run(makeRoot, {
      trustDomain: options.trustDomain, nowMs: Date.now(), ttlMs: rootTtlMs,
    });
    ({ certificatePem: chainPem, keyPem } = made);
  } else {
    const { certificateFile, keyFile } = options.adopt;
    [chainPem, keyPem] = await Promise.all([
      readFile(certificateFile, 'utf8'), readFile(keyFile, 'utf8')]);
    checkAuthority(chainPem, keyPem, certificateFile, keyFile);
    chainPem = certificatesOf(chainPem, certificateFile).map(pemOf).join('');
  }
  const root = certificatesOf(chainPem, 'ca.pem').at(-1);
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  try {
    await create(join(options.dir, 'ca-key.pem'), keyPem, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new Error(`${options.dir}: holds a certificate authority already; another --dir, or none `
      + 'there, would be right');
  }
  await create(join(options.dir, 'ca.pem'), chainPem, 0o644);
  await create(join(options.dir, 'ca.json'),
    `${JSON.stringify({ version: 1, trustDomain: options.trustDomain }, null, 2)}\n`, 0o644);
  // Last, so that whoever waits for the root finds all the rest.
  await create(join(options.dir, 'root.pem'), root === undefined ? '' : pemOf(root), 0o644);
}

async function readPart(dir: string, name: string): Promise<string> {
  try {
    return await readFile(join(dir, name), 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw error;
    throw new Error(`${join(dir, name)}: not found; make an authority with `
      + `'onehop ca init --dir ${dir}'`);
  }
}

/** A certificate authority in a directory, as `onehop ca init` makes it. Signs in worker threads. */
export class LocalCa implements CertificateSource {
  readonly trustDomain: string;
  readonly rootPem: string;
  readonly #authority: Authority;
  readonly #options: CaOptions;

  private constructor(trustDomain: string, authority: Authority, options: CaOptions) {
    this.trustDomain = trustDomain;
    this.#authority = authority;
    this.rootPem = pemOf(authority.root);
    this.#options = options;
  }

  /** Throws when a file is missing or broken, or when certificate and key do not fit. */
  static async open(dir: string, options: CaOptions): Promise<LocalCa> {
    const [chainPem, keyPem, settings] = await Promise.all(
      ['ca.pem', 'ca-key.pem', 'ca.json'].map((name) => readPart(dir, name)));
    let trustDomain: unknown;
    try {
      trustDomain = (JSON.parse(settings ?? '') as { trustDomain?: unknown }).trustDomain;
    } catch {
      trustDomain = undefined;
    }
    if (typeof trustDomain !== 'string') {
      throw new Error(`${join(dir, 'ca.json')}: {"version":1,"trustDomain":"cluster.local"} `
        + 'or the like would be right');
    }
    const authority = checkAuthority(
      chainPem ?? '', keyPem ?? '', join(dir, 'ca.pem'), join(dir, 'ca-key.pem'));
    return new LocalCa(trustDomain, authority, options);
  }

  /** A new key and certificate for a SPIFFE id of the authority's trust domain. */
  async issue(identity: string): Promise<IssuedCertificate> {
    const { signer, intermediates, root, keyPem } = this.#authority;
    const prefix = `spiffe://${this.trustDomain}`;
    if (!identity.startsWith(`${prefix}/`)) {
      throw new Error(`${identity}: this authority signs for ${prefix}/… only`);
    }
    if (!pathPattern.test(identity.slice(prefix.length)) || identity.length > identityBytesMax) {
      throw new Error(`${identity}: is no SPIFFE id; ${prefix}/ns/NAMESPACE/sa/SERVICE_ACCOUNT `
        + 'would be right');
    }
    const nowMs = (this.#options.now ?? Date.now)();
    const leaf = await this.#options.workers.run(issueLeaf, {
      identity,
      nowMs,
      notAfterMs: nowMs + (this.#options.certificateTtlMs ?? defaultCertificateTtlMs),
      issuerPem: pemOf(signer),
      issuerKeyPem: keyPem,
    });
    const between = signer === root ? [] : [signer, ...intermediates];
    return {
      identity,
      chainPem: leaf.certificatePem + between.map(pemOf).join(''),
      keyPem: leaf.keyPem,
      rootsPem: pemOf(root),
      serial: leaf.serial,
      notBeforeMs: leaf.notBeforeMs,
      notAfterMs: leaf.notAfterMs,
    };
  }
}

/** Writes `PREFIX.pem` (leaf, then intermediates) and `PREFIX-key.pem` (mode 0600). */
export async function writeCertificate(prefix: string, issued: IssuedCertificate): Promise<void> {
  const write = async (path: string, text: string, mode: number): Promise<void> => {
    const file = await open(path, 'w', mode);
    try {
      await file.chmod(mode);
      await file.writeFile(text);
    } finally {
      await file.close();
    }
  };
  await write(`${prefix}-key.pem`, issued.keyPem, 0o600);
  await write(`${prefix}.pem`, issued.chainPem, 0o644);
}
