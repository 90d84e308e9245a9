import type { CertificateSource, IssuedCertificate } from '../identity/certificate.js';
import { initCa, LocalCa, writeCertificate } from '../identity/local_ca.js';
import { WorkerPool } from '../workers/pool.js';

export interface InitAuthorityOptions {
  dir: string;
  /** Default: `cluster.local`. */
  trustDomain?: string;
  /** PEM files of an existing root to sign with. */
  adopt?: { certificateFile: string; keyFile: string };
}

/** A certificate authority in a directory, with the worker threads it signs in. */
export class Authority implements CertificateSource, AsyncDisposable {
  readonly #workers: WorkerPool;
  readonly #ca: LocalCa;

  private constructor(workers: WorkerPool, ca: LocalCa) {
    this.#workers = workers;
    this.#ca = ca;
  }

  /** Makes one; rejects, and changes nothing, when `dir` holds one already. */
  static async init({ dir, trustDomain = 'cluster.local', adopt }: InitAuthorityOptions):
  Promise<void> {
    const workers = new WorkerPool({ threads: 1 });
    try {
      await initCa({ dir, trustDomain, ...(adopt === undefined ? {} : { adopt }) }, workers);
    } finally {
      await workers.close();
    }
  }

  static async open(dir: string, options: { certificateTtlMs?: number } = {}): Promise<Authority> {
    const workers = new WorkerPool({ threads: 1 });
    try {
      return new Authority(workers, await LocalCa.open(dir, { workers, ...options }));
    } catch (error) {
      await workers.close();
      throw error;
    }
  }

  get trustDomain(): string {
    return this.#ca.trustDomain;
  }

  /** PEM. */
  get rootPem(): string {
    return this.#ca.rootPem;
  }

  /** A new key and certificate for a SPIFFE id of the trust domain. */
  issue(identity: string): Promise<IssuedCertificate> {
    return this.#ca.issue(identity);
  }

  /** Issues, and writes `PREFIX.pem` (leaf, then intermediates) and `PREFIX-key.pem` (mode 0600). */
  async issueTo(prefix: string, identity: string): Promise<IssuedCertificate> {
    const issued = await this.issue(identity);
    await writeCertificate(prefix, issued);
    return issued;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#workers.close();
  }
}
