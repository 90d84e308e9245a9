import type { CertificateSource, IssuedCertificate } from './certificate.js';
import { IdentityError } from './error.js';

/** Where credentials are kept for the data path; the engine is one. */
export interface CredentialStore {
  /** Replaces the credential behind `handle`, or makes one for 0; returns its handle. */
  putCredential(handle: number, spec: {
    chainPem: string; keyPem: string; rootsPem: string;
  }): { handle: number };
  removeCredential(handle: number): void;
}

export type IdentityState =
  | { readonly kind: 'initializing' }
  | { readonly kind: 'available'; readonly certificate: IssuedCertificate }
  | { readonly kind: 'unavailable'; readonly error: Error };

export interface IdentityStatus {
  readonly identity: string;
  /** 0 before the first certificate. */
  readonly handle: number;
  readonly state: IdentityState;
  /** Why the latest renewal failed; a certificate still valid stays in use meanwhile. */
  readonly renewalError?: Error;
  /** Wall clock of the next renewal or retry; 0 when one is running. */
  readonly nextTryMs: number;
}

export interface IdentityManagerOptions {
  source: CertificateSource;
  store: CredentialStore;
  /** A credential was made or renewed, or could not be. */
  onChange?: (status: IdentityStatus) => void;
  now?: () => number;
}

/** Retries after a failure: doubling from the first to the last, each spread by a fifth. */
const retryFirstMs = 1_000;
const retryLastMs = 150_000;
/** A caller that asks meanwhile starts a try of its own when the last one is older than this. */
const retryOnDemandMs = 1_000;
const retrySpread = 0.2;
/** Renewals are at least this far apart, so that a certificate about to expire cannot spin us. */
const renewalLeastMs = 250;
/** setTimeout's own bound. */
const timerMost = 2 ** 31 - 1;

class Entry {
  users = 0;
  handle = 0;
  certificate: IssuedCertificate | undefined;
  error: Error | undefined;
  failures = 0;
  lastTryMs = 0;
  nextTryMs = 0;
  running: Promise<void> | undefined;
  again = false;
  timer: NodeJS.Timeout | undefined;
  constructor(readonly identity: string) {}
}

/**
 * Keeps a valid credential in the store for every identity in use, and renews each at half of its life.
 * Renewal replaces what is behind the same handle: new tunnels take the new certificate, live ones keep
 * theirs. Requests for one identity share one issuance, and its outcome.
 */
export class IdentityManager {
  readonly #options: IdentityManagerOptions;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #unwatch: (() => void) | undefined;
  #stopped = false;

  constructor(options: IdentityManagerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#unwatch = options.source.watch?.(() => this.renewAll());
  }

  /**
   * The handle of the identity's credential, which stays the same until every acquire was released.
   * Rejects when no certificate can be had; the identity is retried until it is released.
   */
  async acquire(identity: string): Promise<number> {
    if (this.#stopped) throw new IdentityError('the identity manager is stopped');
    let entry = this.#entries.get(identity);
    if (entry === undefined) {
      entry = new Entry(identity);
      this.#entries.set(identity, entry);
    }
    entry.users += 1;
    if (!this.#usable(entry)) {
      const waited = this.#now() - entry.lastTryMs;
      if (entry.running === undefined && (entry.error === undefined || waited >= retryOnDemandMs)) {
        this.#start(entry);
      }
      await entry.running;
    }
    if (this.#usable(entry)) return entry.handle;
    throw entry.error ?? new IdentityError(`${identity}: no certificate`);
  }

  /** Undoes one acquire, also one that was rejected. The last one removes the credential. */
  release(identity: string): void {
    const entry = this.#entries.get(identity);
    if (entry === undefined) return;
    entry.users -= 1;
    if (entry.users === 0) this.#drop(entry);
  }

  /** The handle now, without waiting; undefined when there is no valid certificate. */
  handleOf(identity: string): number | undefined {
    const entry = this.#entries.get(identity);
    return entry !== undefined && this.#usable(entry) ? entry.handle : undefined;
  }

  /** Renews all now, as when files were replaced. */
  renewAll(): void {
    for (const entry of this.#entries.values()) {
      if (entry.running === undefined) this.#start(entry);
      else entry.again = true;
    }
  }

  /** Sorted by identity. */
  list(): IdentityStatus[] {
    return [...this.#entries.values()].map((entry) => this.#status(entry))
      .sort((a, b) => (a.identity < b.identity ? -1 : 1));
  }

  /** Ends all renewals; the store keeps what it has. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#unwatch?.();
    for (const entry of this.#entries.values()) clearTimeout(entry.timer);
  }

  #usable(entry: Entry): boolean {
    return entry.certificate !== undefined && entry.certificate.notAfterMs > this.#now();
  }

  #status(entry: Entry): IdentityStatus {
    const state: IdentityState = entry.certificate !== undefined && this.#usable(entry)
      ? { kind: 'available', certificate: entry.certificate }
      : entry.error === undefined
        ? { kind: 'initializing' } : { kind: 'unavailable', error: entry.error };
    return {
      identity: entry.identity,
      handle: entry.handle,
      state,
      ...(entry.error === undefined ? {} : { renewalError: entry.error }),
      nextTryMs: entry.running === undefined ? entry.nextTryMs : 0,
    };
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.identity);
    clearTimeout(entry.timer);
    if (entry.handle !== 0) this.#options.store.removeCredential(entry.handle);
  }

  #start(entry: Entry): void {
    clearTimeout(entry.timer);
    entry.lastTryMs = this.#now();
    entry.running = this.#renew(entry).finally(() => {
      entry.running = undefined;
      if (this.#stopped || this.#entries.get(entry.identity) !== entry) return;
      if (entry.again) {
        entry.again = false;
        this.#start(entry);
      } else {
        this.#schedule(entry);
      }
      this.#options.onChange?.(this.#status(entry));
    });
  }

  /** Never rejects: the outcome is in the entry. */
  async #renew(entry: Entry): Promise<void> {
    try {
      const certificate = await this.#options.source.issue(entry.identity);
      // Released or stopped while it was being made: nobody will ever use it.
      if (this.#stopped || this.#entries.get(entry.identity) !== entry) return;
      if (certificate.notAfterMs <= this.#now()) {
        throw new IdentityError(`${entry.identity}: got a certificate that expired at `
          + new Date(certificate.notAfterMs).toISOString());
      }
      entry.handle = this.#options.store.putCredential(entry.handle, certificate).handle;
      entry.certificate = certificate;
      entry.error = undefined;
      entry.failures = 0;
    } catch (error) {
      entry.error = error instanceof Error ? error : new Error(String(error));
      entry.failures += 1;
    }
  }

  #schedule(entry: Entry): void {
    entry.nextTryMs = this.#now() + this.#delay(entry);
    this.#wait(entry);
  }

  #wait(entry: Entry): void {
    const left = Math.max(entry.nextTryMs - this.#now(), 0);
    entry.timer = setTimeout(() => {
      if (this.#now() < entry.nextTryMs) this.#wait(entry);
      else this.#start(entry);
    }, Math.min(Math.ceil(left), timerMost));
    entry.timer.unref();
  }

  #delay(entry: Entry): number {
    const now = this.#now();
    const expiry = entry.certificate?.notAfterMs ?? now;
    if (entry.error === undefined) {
      // Half of what is left, which is half of its life when it is new.
      return Math.max((expiry - now) / 2, renewalLeastMs);
    }
    const spread = 1 + retrySpread * (2 * Math.random() - 1);
    const backoff = Math.min(retryFirstMs * 2 ** (entry.failures - 1), retryLastMs) * spread;
    // Never sleep past the expiry of what is in use.
    const left = expiry - now;
    return left > 0 ? Math.max(Math.min(backoff, left), renewalLeastMs) : backoff;
  }
}
