import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { certificatesOf, spiffeUrisOf } from '../../lib/identity/certificate.js';
import { FileSource } from '../../lib/identity/file_source.js';
import { LocalCa, initCa, writeCertificate } from '../../lib/identity/local_ca.js';
import { WorkerPool } from '../../lib/workers/pool.js';

const id = 'spiffe://cluster.local/ns/demo/sa/client';
const workers = new WorkerPool();
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'onehop-ca-'));
  await initCa({ dir: join(dir, 'ca'), trustDomain: 'cluster.local' }, workers);
});
afterAll(async () => {
  await workers.close();
  await rm(dir, { recursive: true });
});

const openssl = (...args: string[]): string => 
  execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });

describe('the local authority', () => {
  it('issues leaves that OpenSSL verifies for both purposes', async () => {
    const ca = await LocalCa.open(join(dir, 'ca'), { workers });
    const issued = await ca.issue(id);
    const prefix = join(dir, 'leaf');
    await writeCertificate(prefix, issued);
    for (const purpose of ['sslserver', 'sslclient']) {
      expect(openssl('verify', '-x509_strict', '-purpose', purpose,
        '-CAfile', join(dir, 'ca/root.pem'), `${prefix}.pem`)).toContain('OK');
    }
    const text = openssl('x509', '-noout', '-text', '-in', `${prefix}.pem`);
    expect(text).toMatch(/Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster.local\/ns\/demo/);
    expect(text).toContain('NIST CURVE: P-256');
    expect((await stat(`${prefix}-key.pem`)).mode & 0o777).toBe(0o600);
  });

  it('says the same in its answer as in the certificate', async () => {
    const nowMs = Date.now();
    const ca = await LocalCa.open(join(dir, 'ca'), { workers, certificateTtlMs: 4_000 });
    const issued = await ca.issue(id);
    const leaf = new X509Certificate(issued.chainPem);
    expect(spiffeUrisOf(leaf)).toEqual([id]);
    expect(leaf.serialNumber.toLowerCase()).toBe(issued.serial);
    expect(Date.parse(leaf.validTo)).toBe(issued.notAfterMs);
    expect(Date.parse(leaf.validFrom)).toBe(issued.notBeforeMs);
    expect(issued.notAfterMs - nowMs).toBeGreaterThanOrEqual(4_000);
    expect(issued.notAfterMs - nowMs).toBeLessThan(7_000);
  });

  it('keeps an authority that is there, and protects its key', async () => {
    const key = await readFile(join(dir, 'ca/ca-key.pem'), 'utf8');
    await expect(initCa({ dir: join(dir, 'ca'), trustDomain: 'cluster.local' }, workers))
      .rejects.toThrow(/holds a certificate authority already/);
    expect(await readFile(join(dir, 'ca/ca-key.pem'), 'utf8')).toBe(key);
    expect((await stat(join(dir, 'ca/ca-key.pem'))).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['spiffe://other.example/ns/demo/sa/client', /signs for spiffe:\/\/cluster\.local/],
    ['spiffe://cluster.local/ns//sa/client', /is no SPIFFE id/],
    ['spiffe://cluster.local/ns/../sa/client', /is no SPIFFE id/],
    ['spiffe://cluster.local/ns/a b/sa/client', /is no SPIFFE id/],
    ['client', /signs for/],
  ])('refuses to sign %s', async (wrong, why) => {
    const ca = await LocalCa.open(join(dir, 'ca'), { workers });
    await expect(ca.issue(wrong)).rejects.toThrow(why);
  });

  it('names what is missing or broken', async () => {
    await expect(LocalCa.open(join(dir, 'none'), { workers })).rejects.toThrow(/onehop ca init --dir/);
    await expect(initCa({ dir: join(dir, 'x'), trustDomain: 'A B' }, workers))
      .rejects.toThrow(/trust domain 'A B'/);
  });
});

describe('an adopted authority', () => {
  it.each(['ec', 'rsa'])('signs through an %s intermediate', async (kind) => {
    const at = (name: string): string => join(dir, `${kind}-${name}`);
    const newKey = kind === 'ec'
      ? ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'] : ['-newkey', 'rsa:2048'];
    openssl('req', '-x509', ...newKey, '-nodes', '-keyout', at('root-key.pem'),
      '-out', at('root.pem'), '-subj', '/CN=root', '-days', '2');
    openssl('req', ...newKey, '-nodes', '-keyout', at('key.pem'), '-out', at('csr.pem'),
      '-subj', '/CN=intermediate');
    await writeFile(at('ext'), 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n'
      + 'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n');
    openssl('x509', '-req', '-in', at('csr.pem'), '-CA', at('root.pem'), '-CAkey', at('root-key.pem'),
      '-CAcreateserial', '-extfile', at('ext'), '-out', at('mid.pem'), '-days', '1');
    await writeFile(at('chain.pem'),
      (await readFile(at('mid.pem'), 'utf8')) + (await readFile(at('root.pem'), 'utf8')));
    const caDir = at('ca');
    await initCa({ dir: caDir, trustDomain: 'cluster.local',
      adopt: { certificateFile: at('chain.pem'), keyFile: at('key.pem') } }, workers);
    const ca = await LocalCa.open(caDir, { workers, certificateTtlMs: 86_400_000 * 30 });
    const issued = await ca.issue(id);
    expect(certificatesOf(issued.chainPem, 'chain').map((c) => c.subject)).toEqual(
      [undefined, 'CN=intermediate']);
    await writeCertificate(at('leaf'), issued);
    expect(openssl('verify', '-CAfile', join(caDir, 'root.pem'), '-untrusted', at('leaf.pem'),
      at('leaf.pem'))).toContain('OK');
    expect(issued.notAfterMs).toBe(Date.parse(new X509Certificate(
      await readFile(at('mid.pem'))).validTo));

    await expect(initCa({ dir: at('ca2'), trustDomain: 'cluster.local',
      adopt: { certificateFile: at('chain.pem'), keyFile: at('root-key.pem') } }, workers))
      .rejects.toThrow(/is not the key of the first certificate/);
    await expect(initCa({ dir: at('ca3'), trustDomain: 'cluster.local',
      adopt: { certificateFile: at('mid.pem'), keyFile: at('key.pem') } }, workers))
      .rejects.toThrow(/self-signed root as the last certificate/);
    await expect(initCa({ dir: at('ca4'), trustDomain: 'cluster.local',
      adopt: { certificateFile: at('leaf.pem'), keyFile: at('leaf-key.pem') } }, workers))
      .rejects.toThrow(/is not a certificate authority/);
  });
});

describe('certificates in files', () => {
  it('are read, checked against the identity, and watched', async () => {
    const ca = await LocalCa.open(join(dir, 'ca'), { workers });
    const prefix = join(dir, 'files');
    await writeCertificate(prefix, await ca.issue(id));
    const source = new FileSource({ chainFile: `${prefix}.pem`, keyFile: `${prefix}-key.pem`,
      rootsFile: join(dir, 'ca/root.pem'), pollMs: 20 });
    const first = await source.issue(id);
    expect(first.identity).toBe(id);
    await expect(source.issue('spiffe://cluster.local/ns/demo/sa/other'))
      .rejects.toThrow(/is for spiffe:\/\/cluster\.local\/ns\/demo\/sa\/client, not/);
    const changed = new Promise<void>((done) => {
      const stop = source.watch(() => {
        stop();
        done();
      });
    });
    await new Promise((done) => setTimeout(done, 60));
    const next = await ca.issue(id);
    await writeCertificate(prefix, next);
    await changed;
    await expect.poll(async () => (await source.issue(id)).serial).toBe(next.serial);
  });
});
