import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { CertificateSource, IssuedCertificate } from '../../lib/identity/certificate.js';
import { IdentityManager, type CredentialStore } from '../../lib/identity/manager.js';

const hour = 3_600_000;

class Source implements CertificateSource {
  issued = 0;
  fail: Error | undefined;
  ttlMs = 2 * hour;
  changed: (() => void) | undefined;
  async issue(identity: string): Promise<IssuedCertificate> {
    await new Promise((done) => setTimeout(done, 10));
    if (this.fail !== undefined) throw this.fail;
    this.issued += 1;
    return {
      identity, chainPem: `chain${this.issued}`, keyPem: 'key', rootsPem: 'roots',
      serial: String(this.issued), notBeforeMs: Date.now(), notAfterMs: Date.now() + this.ttlMs,
    };
  }
  watch(changed: () => void): () => void {
    this.changed = changed;
    return () => (this.changed = undefined);
  }
}

class Store implements CredentialStore {
  next = 1;
  readonly held = new Map<number, string>();
  putCredential(handle: number, spec: { chainPem: string }): { handle: number } {
    const used = handle === 0 ? this.next++ : handle;
    this.held.set(used, spec.chainPem);
    return { handle: used };
  }
  removeCredential(handle: number): void {
    expect(this.held.delete(handle)).toBe(true);
  }
}

let source: Source;
let store: Store;
let manager: IdentityManager;
beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
  source = new Source();
  store = new Store();
  manager = new IdentityManager({ source, store });
});
afterEach(() => {
  manager.stop();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('the identity manager', () => {
  it('shares one issuance among all that ask at once', async () => {
    const asked = Promise.all([manager.acquire('a'), manager.acquire('a'), manager.acquire('b')]);
    await vi.advanceTimersByTimeAsync(10);
    const [first, second, other] = await asked;
    expect(first).toBe(second);
    expect(other).not.toBe(first);
    expect(source.issued).toBe(2);
    expect(manager.handleOf('a')).toBe(first);
  });

  it('renews at half of the life, behind the same handle', async () => {
    const asked = manager.acquire('a');
    await vi.advanceTimersByTimeAsync(10);
    const handle = await asked;
    await vi.advanceTimersByTimeAsync(hour - 100);
    expect(source.issued).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(source.issued).toBe(2);
    expect(store.held.get(handle)).toBe('chain2');
    expect(store.held.size).toBe(1);
  });

  it('waits longer than one timer can', async () => {
    source.ttlMs = 100 * 24 * hour;
    void manager.acquire('a');
    await vi.advanceTimersByTimeAsync(49 * 24 * hour);
    expect(source.issued).toBe(1);
    await vi.advanceTimersByTimeAsync(1.1 * 24 * hour);
    expect(source.issued).toBe(2);
  });

  it('keeps a valid certificate while renewal fails, and drops it when it expires', async () => {
    void manager.acquire('a');
    await vi.advanceTimersByTimeAsync(10);
    source.fail = new Error('no authority');
    await vi.advanceTimersByTimeAsync(hour + 30 * 60_000);
    expect(manager.list()[0]).toMatchObject({
      state: { kind: 'available' }, renewalError: { message: 'no authority' } });
    await vi.advanceTimersByTimeAsync(31 * 60_000);
    expect(manager.handleOf('a')).toBeUndefined();
    expect(manager.list()[0]).toMatchObject({ state: { kind: 'unavailable' } });
    source.fail = undefined;
    await vi.advanceTimersByTimeAsync(200_000);
    expect(manager.list()[0]).toMatchObject({ state: { kind: 'available' } });
    expect(manager.list()[0]?.renewalError).toBeUndefined();
  });

  it('tells all waiters of a failure, retries by itself, and sooner when asked again', async () => {
    // Retries without spread come 1, 3, 7, 15, 31 and 63 s after the failure: none in the last second
    // before the question below, which would then be answered with that retry's failure.
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    source.fail = new Error('no authority');
    const both = [manager.acquire('a'), manager.acquire('a')];
    const outcomes = Promise.allSettled(both);
    await vi.advanceTimersByTimeAsync(10);
    expect((await outcomes).map((o) => o.status)).toEqual(['rejected', 'rejected']);
    await vi.advanceTimersByTimeAsync(60_000);
    source.fail = undefined;
    // The next try by itself is three seconds away.
    const asked = manager.acquire('a');
    await vi.advanceTimersByTimeAsync(10);
    expect(await asked).toBe(1);
  });

  it('answers at once with the failure when the last try is younger than a second', async () => {
    source.fail = new Error('no authority');
    const first = manager.acquire('a').catch((error: unknown) => String(error));
    await vi.advanceTimersByTimeAsync(10);
    expect(await first).toContain('no authority');
    source.fail = undefined;
    await expect(manager.acquire('a')).rejects.toThrow('no authority');
    expect(source.issued).toBe(0);
  });

  it('removes the credential with its last user', async () => {
    void manager.acquire('a');
    void manager.acquire('a');
    await vi.advanceTimersByTimeAsync(10);
    manager.release('a');
    expect(store.held.size).toBe(1);
    manager.release('a');
    expect(store.held.size).toBe(0);
    await vi.advanceTimersByTimeAsync(3 * hour);
    expect(source.issued).toBe(1);
  });

  it('leaves nothing behind when released while a certificate is being made', async () => {
    const asked = manager.acquire('a').catch((error: unknown) => String(error));
    manager.release('a');
    await vi.advanceTimersByTimeAsync(10);
    expect(await asked).toContain('a: no certificate');
    expect(store.held.size).toBe(0);
  });

  it('renews when the source says that its files changed', async () => {
    void manager.acquire('a');
    await vi.advanceTimersByTimeAsync(10);
    source.changed?.();
    source.changed?.();
    await vi.advanceTimersByTimeAsync(20);
    expect(source.issued).toBe(3);
  });

  it('refuses a certificate that has expired already, and does not spin', async () => {
    source.ttlMs = -1;
    const asked = manager.acquire('a').catch((error: unknown) => String(error));
    await vi.advanceTimersByTimeAsync(10);
    expect(await asked).toContain('expired');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(source.issued).toBeLessThan(7);
  });
});
