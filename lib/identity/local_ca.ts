import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { access, chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { messageOf } from '../base/error.js';
import { workerTask, type WorkerPool } from '../workers/pool.js';
import {
  certificatesOf, timesOf, type CertificateSource, type IssuedCertificate,
} from './certificate.js';
import type {
  KeyedCertificate, LeafCertificate, LeafRequest, LeafRequests,
} from './certificate_task.js';
import { IdentityError } from './error.js';
import type { RootRequest } from './root_task.js';

const makeRoot = workerTask<RootRequest, KeyedCertificate>(
  import.meta.url, './root_task.js', 'makeRoot');
const issueLeaves = workerTask<LeafRequests, LeafCertificate[]>(
  import.meta.url, './certificate_task.js', 'issueLeaves');
/** Of one task; more are shared among the threads. */
const leavesPerTaskMax = 64;

const dayMs = 86_400_000;
const rootTtlMs = 3650 * dayMs;
export const defaultCertificateTtlMs = dayMs;

/** What an authority's directory holds; the root comes last, so that who waits for it finds all. */
const fileNames = ['ca-key.pem', 'ca.pem', 'ca.json', 'root.pem'] as const;

/** Peers refuse shorter ones. */
const rsaBitsLeast = 2048;
const curves = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
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
    throw new IdentityError(`${what}: no usable private key (unencrypted PEM would be right): ${why}`);
  }
}

/** Fails early for keys that cannot sign certificates here, or none that peers would take. */
function checkKind(key: KeyObject, keyName: string): void {
  const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails: details = {} } = key;
  const right = 'EC on P-256, P-384 or P-521, or RSA of 2048 bits or more, would be right';
  if (type === 'ec' && !curves.has(details.namedCurve ?? '')) {
    throw new IdentityError(`${keyName}: is on the curve ${details.namedCurve ?? 'unknown'}; ${right}`);
  }
  if (type === 'rsa' && (details.modulusLength ?? 0) < rsaBitsLeast) {
    throw new IdentityError(`${keyName}: is RSA of ${details.modulusLength ?? 0} bits; ${right}`);
  }
  if (type !== 'ec' && type !== 'rsa') throw new IdentityError(`${keyName}: is ${type}; ${right}`);
}

async function readGiven(path: string, flag: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code ?? ''})`;
    throw new IdentityError(`${flag} ${path}: ${why}`, { cause: error });
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
  if (signer === undefined || root === undefined) throw new IdentityError(`${chainName}: is empty`);
  if (!signer.ca) {
    throw new IdentityError(`${chainName}: the first certificate (${signer.subject || 'no subject'}) is not a `
      + 'certificate authority; basicConstraints CA:TRUE, with keyUsage keyCertSign if there is any, '
      + 'would be right');
  }
  checkKind(key, keyName);
  if (!signer.checkPrivateKey(key)) {
    throw new IdentityError(`${keyName}: is not the key of the first certificate in ${chainName}`);
  }
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1] ?? root;
    if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
      const right = issuer === certificate
        ? 'a self-signed root as the last certificate would be right'
        : 'each certificate followed by its issuer would be right';
      throw new IdentityError(`${chainName}: certificate ${index + 1} is not signed by `
        + `${issuer === certificate ? 'itself' : `certificate ${index + 2}`}; ${right}`);
    }
  }
  for (const certificate of chain) {
    const { notBeforeMs, notAfterMs } = timesOf(certificate);
    // Without one Node 20 has undefined, Node 24 ''.
    const name = certificate.subject || 'the authority';
    if (notAfterMs <= Date.now()) {
      throw new IdentityError(`${chainName}: ${name} expired at ${certificate.validTo}`);
    }
    if (notBeforeMs > Date.now()) {
      throw new IdentityError(`${chainName}: ${name} is not valid before ${certificate.validFrom}`);
    }
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
    throw new IdentityError(`trust domain '${options.trustDomain}': lower-case letters, digits, '.', '-' `
      + "and '_' would be right, as in cluster.local");
  }
  await checkVacant(options.dir);
  let chainPem: string;
  let keyPem: string;
  if (options.adopt === undefined) {
    const made = await workers.run(makeRoot, {
      trustDomain: options.trustDomain, nowMs: Date.now(), ttlMs: rootTtlMs,
    });
    ({ certificatePem: chainPem, keyPem } = made);
  } else {
    const { certificateFile, keyFile } = options.adopt;
    chainPem = await readGiven(certificateFile, '--root-cert');
    keyPem = await readGiven(keyFile, '--root-key');
    checkAuthority(chainPem, keyPem, certificateFile, keyFile);
    chainPem = certificatesOf(chainPem, certificateFile).map(pemOf).join('');
  }
  const root = certificatesOf(chainPem, 'ca.pem').at(-1);
  const settings = `${JSON.stringify({ version: 1, trustDomain: options.trustDomain }, null, 2)}\n`;
  await createAll(options.dir, {
    'ca-key.pem': keyPem, 'ca.pem': chainPem, 'ca.json': settings,
    'root.pem': root === undefined ? '' : pemOf(root),
  });
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}

/** Throws when `dir` holds an authority, or a part of one. */
async function checkVacant(dir: string): Promise<void> {
  const there: string[] = [];
  for (const name of fileNames) if (await isThere(join(dir, name))) there.push(name);
  if (there.length === 0) return;
  throw new IdentityError(there.length === fileNames.length
    ? `${dir}: holds a certificate authority already; another --dir would be right`
    : `${dir}: holds a part of a certificate authority (${there.join(', ')}), as of one that was not `
      + 'finished or not copied whole; the missing files, or another --dir, would be right');
}

/** All of the files or none. */
async function createAll(
  dir: string, files: Readonly<Record<(typeof fileNames)[number], string>>,
): Promise<void> {
  const made: string[] = [];
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const name of fileNames) {
      await create(join(dir, name), files[name], name === 'ca-key.pem' ? 0o600 : 0o644);
      made.push(name);
    }
  } catch (error) {
    for (const name of made) await rm(join(dir, name), { force: true });
    const { code } = error as NodeJS.ErrnoException;
    const right = code === 'EEXIST' || code === 'ENOTDIR' ? '; another --dir would be right' : '';
    throw new IdentityError(`${dir}: cannot make the authority there: ${messageOf(error)}${right}`,
      { cause: error });
  }
}

async function readPart(dir: string, name: string): Promise<string> {
  try {
    return await readFile(join(dir, name), 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw error;
    const others = fileNames.filter((one) => one !== name).map((one) => isThere(join(dir, one)));
    const part = (await Promise.all(others)).includes(true);
    throw new IdentityError(`${join(dir, name)}: not found; ${part
      ? 'the directory holds only a part of an authority'
      : `make an authority with 'onehop ca init --dir ${dir}'`}`, { cause: error });
  }
}

/** Leaves asked for in one turn of the event loop, signed by one task: the first starts a thread. */
interface LeafBatch {
  readonly leaves: LeafRequest[];
  readonly issued: Promise<LeafCertificate[]>;
}

/** A certificate authority in a directory, as `onehop ca init` makes it. Signs in worker threads. */
export class LocalCa implements CertificateSource {
  readonly trustDomain: string;
  readonly rootPem: string;
  readonly #authority: Authority;
  readonly #options: CaOptions;
  #batch: LeafBatch | undefined;

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
      throw new IdentityError(`${join(dir, 'ca.json')}: {"version":1,"trustDomain":"cluster.local"} `
        + 'or the like would be right');
    }
    const authority = checkAuthority(
      chainPem ?? '', keyPem ?? '', join(dir, 'ca.pem'), join(dir, 'ca-key.pem'));
    return new LocalCa(trustDomain, authority, options);
  }

  /** A new key and certificate for a SPIFFE id of the authority's trust domain. */
  async issue(identity: string): Promise<IssuedCertificate> {
    const { signer, intermediates, root } = this.#authority;
    const prefix = `spiffe://${this.trustDomain}`;
    if (!identity.startsWith(`${prefix}/`)) {
      throw new IdentityError(`${identity}: this authority signs for ${prefix}/… only`);
    }
    if (!pathPattern.test(identity.slice(prefix.length)) || identity.length > identityBytesMax) {
      throw new IdentityError(`${identity}: is no SPIFFE id; ${prefix}/ns/NAMESPACE/sa/SERVICE_ACCOUNT `
        + 'would be right');
    }
    const nowMs = (this.#options.now ?? Date.now)();
    const leaf = await this.#sign({
      identity, nowMs,
      notAfterMs: nowMs + (this.#options.certificateTtlMs ?? defaultCertificateTtlMs),
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

  async #sign(request: LeafRequest): Promise<LeafCertificate> {
    if (this.#batch === undefined || this.#batch.leaves.length >= leavesPerTaskMax) {
      const leaves: LeafRequest[] = [];
      this.#batch = { leaves, issued: this.#issueTogether(leaves) };
    }
    const { leaves, issued } = this.#batch;
    const index = leaves.push(request) - 1;
    const leaf = (await issued)[index];
    if (leaf === undefined) throw new Error('a worker thread answered with fewer certificates');
    return leaf;
  }

  async #issueTogether(leaves: LeafRequest[]): Promise<LeafCertificate[]> {
    // Whoever asks before this turn of the event loop ends is served together.
    await new Promise(setImmediate);
    if (this.#batch?.leaves === leaves) this.#batch = undefined;
    const { signer, keyPem } = this.#authority;
    return this.#options.workers.run(issueLeaves, {
      issuerPem: pemOf(signer), issuerKeyPem: keyPem, leaves,
    });
  }
}

/** Writes `PREFIX.pem` (leaf, then intermediates) and `PREFIX-key.pem` (mode 0600). */
export async function writeCertificate(prefix: string, issued: IssuedCertificate): Promise<void> {
  // Whoever reads them meanwhile finds the old file or the new one, whole.
  const write = async (path: string, text: string, mode: number): Promise<void> => {
    const draft = `${path}.${process.pid}.new`;
    try {
      await rm(draft, { force: true });
      await create(draft, text, mode);
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { force: true });
      throw new IdentityError(`${path}: cannot be written: ${messageOf(error)}`, { cause: error });
    }
  };
  await write(`${prefix}-key.pem`, issued.keyPem, 0o600);
  await write(`${prefix}.pem`, issued.chainPem, 0o644);
}
