import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { certificatesOf, spiffeUrisOf } from '../../lib/identity/certificate.js';
import { FileSource } from '../../lib/identity/file_source.js';
import { FileSources } from '../../lib/identity/file_sources.js';
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

  it('signs for all who ask at once, each for itself', async () => {
    const ca = await LocalCa.open(join(dir, 'ca'), { workers });
    const wanted = Array.from({ length: 150 }, (_, index) => `${id}${index}`);
    const issued = await Promise.all(wanted.map((one) => ca.issue(one)));
    const leaves = issued.map(({ chainPem }) => new X509Certificate(chainPem));
    expect(leaves.flatMap(spiffeUrisOf)).toEqual(wanted);
    expect(new Set(issued.map(({ serial }) => serial)).size).toBe(wanted.length);
    for (const [index, leaf] of leaves.entries()) {
      expect(leaf.checkPrivateKey(createPrivateKey(issued[index]?.keyPem ?? ''))).toBe(true);
    }
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

  it('makes all of it or nothing, and tells a part from the whole', async () => {
    const partial = join(dir, 'partial');
    await initCa({ dir: partial, trustDomain: 'cluster.local' }, workers);
    await rm(join(partial, 'ca.pem'));
    await expect(initCa({ dir: partial, trustDomain: 'cluster.local' }, workers)).rejects.toThrow(
      /holds a part of a certificate authority \(ca-key.pem, ca.json, root.pem\)/);
    await expect(LocalCa.open(partial, { workers })).rejects.toThrow(/ca.pem: not found; .*only a part/);
    await writeFile(join(dir, 'file'), '');
    await expect(initCa({ dir: join(dir, 'file', 'x'), trustDomain: 'a' }, workers)).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_ONEHOP_IDENTITY',
        message: expect.stringMatching(/another --dir would be right/) as string }));
    const both = join(dir, 'both');
    const outcomes = await Promise.allSettled([1, 2].map(() =>
      initCa({ dir: both, trustDomain: 'cluster.local' }, workers)));
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await (await LocalCa.open(both, { workers })).issue(id);
  });

  it('replaces what it wrote before, and leaves no draft', async () => {
    const ca = await LocalCa.open(join(dir, 'ca'), { workers });
    const out = await mkdtemp(join(dir, 'out-'));
    await writeFile(join(out, 'a-key.pem'), 'old', { mode: 0o644 });
    const issued = await ca.issue(id);
    await writeCertificate(join(out, 'a'), issued);
    expect(await readFile(join(out, 'a-key.pem'), 'utf8')).toBe(issued.keyPem);
    expect((await stat(join(out, 'a-key.pem'))).mode & 0o777).toBe(0o600);
    expect((await readdir(out)).sort()).toEqual(['a-key.pem', 'a.pem']);
    await expect(writeCertificate(join(out, 'no', 'a'), issued)).rejects.toThrow(/a-key.pem: cannot be/);
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
    // Authorities may name their keys as they like; a leaf must repeat it.
    await writeFile(at('ext'), 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n'
      + 'subjectKeyIdentifier=01:02:03:04\nauthorityKeyIdentifier=keyid\n');
    openssl('x509', '-req', '-in', at('csr.pem'), '-CA', at('root.pem'), '-CAkey', at('root-key.pem'),
      '-CAcreateserial', '-extfile', at('ext'), '-out', at('mid.pem'), '-days', '1');
    await writeFile(at('chain.pem'),
      (await readFile(at('mid.pem'), 'utf8')) + (await readFile(at('root.pem'), 'utf8')));
    const caDir = at('ca');
    await initCa({ dir: caDir, trustDomain: 'cluster.local',
      adopt: { certificateFile: at('chain.pem'), keyFile: at('key.pem') } }, workers);
    const ca = await LocalCa.open(caDir, { workers, certificateTtlMs: 86_400_000 * 30 });
    const issued = await ca.issue(id);
    expect(certificatesOf(issued.chainPem, 'chain').map((c) => c.subject || '')).toEqual(
      ['', 'CN=intermediate']);
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

describe('a root to adopt', () => {
  const adopt = async (root: string, key = root): Promise<void> => {
    await initCa({ dir: join(dir, `adopt-${root}`), trustDomain: 'cluster.local',
      adopt: { certificateFile: join(dir, `${root}.pem`), keyFile: join(dir, `${key}-key.pem`) } }, workers);
    const ca = await LocalCa.open(join(dir, `adopt-${root}`), { workers });
    await writeCertificate(join(dir, `${root}-leaf`), await ca.issue(id));
    expect(openssl('verify', '-CAfile', join(dir, `adopt-${root}`, 'root.pem'),
      join(dir, `${root}-leaf.pem`))).toContain('OK');
  };
  const make = (name: string, newKey: string[], more: string[] = []): string => openssl('req', '-x509',
    ...newKey, '-nodes', '-keyout', join(dir, `${name}-key.pem`), '-out', join(dir, `${name}.pem`),
    '-subj', `/CN=${name}`, '-days', '2', ...more);
  const ec = (curve: string): string[] => ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${curve}`];

  it.each<[string, string[]]>([
    ['p256', ec('P-256')], ['p384', ec('P-384')], ['p521', ec('P-521')], ['rsa2048', ['-newkey', 'rsa:2048']],
  ])('may be %s', async (name, newKey) => {
    make(name, newKey);
    await adopt(name);
  });

  it.each<[string, string[], string[], RegExp]>([
    ['k256', ec('secp256k1'), [], /is on the curve secp256k1; EC on P-256, P-384 or P-521, or RSA/],
    ['rsa1024', ['-newkey', 'rsa:1024'], [], /is RSA of 1024 bits; EC on P-256/],
    ['ed', ['-newkey', 'ed25519'], [], /is ed25519; EC on P-256/],
    ['usage', ec('P-256'), ['-addext', 'keyUsage=digitalSignature'], /is not a certificate authority.*keyCertSign/],
  ])('may not be %s', async (name, newKey, more, why) => {
    make(name, newKey, more);
    await expect(adopt(name)).rejects.toThrow(why);
  });

  it.each([
    ['old', '/CN=old', /CN=old expired at /],
    ['old-nameless', '/', /old-nameless.pem: the authority expired at /],
  ])('is valid now: %s', async (name, subject, why) => {
    make(name, ec('P-256'), ['-subj', subject]);
    const [cert, key] = [join(dir, `${name}.pem`), join(dir, `${name}-key.pem`)];
    openssl('x509', '-in', cert, '-signkey', key, '-days', '-1', '-out', `${cert}.new`);
    await rename(`${cert}.new`, cert);
    await expect(adopt(name)).rejects.toThrow(why);
  });

  it('has a key of its own, in the clear, and files that are there', async () => {
    make('one', ec('P-256'));
    make('two', ec('P-256'));
    await expect(adopt('one', 'two')).rejects.toThrow(/two-key.pem: is not the key of the first/);
    await expect(adopt('none', 'one')).rejects.toThrow(/--root-cert .*none.pem: there is no such file/);
    await expect(adopt('one', 'none')).rejects.toThrow(/--root-key .*none-key.pem: there is no such file/);
    openssl('ec', '-in', join(dir, 'one-key.pem'), '-aes128', '-passout', 'pass:x', '-out',
      join(dir, 'locked-key.pem'));
    await expect(adopt('one', 'locked')).rejects.toThrow(/unencrypted PEM would be right/);
    await writeFile(join(dir, 'garbage.pem'), 'x');
    await expect(adopt('garbage', 'one')).rejects.toThrow(/garbage.pem: holds no PEM certificate/);
    expect(existsSync(join(dir, 'adopt-one'))).toBe(false);
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

  it('may be of several identities, a set of files each', async () => {
    const ca = await LocalCa.open(join(dir, 'ca'), { workers });
    const other = 'spiffe://cluster.local/ns/demo/sa/other';
    const sets = [];
    for (const [name, identity] of [['one', id], ['two', other]] as const) {
      await writeCertificate(join(dir, `set-${name}`), await ca.issue(identity));
      sets.push({ chainFile: join(dir, `set-${name}.pem`), keyFile: join(dir, `set-${name}-key.pem`),
        rootsFile: join(dir, 'ca/root.pem') });
    }
    const source = new FileSources(sets);
    expect((await source.issue(id)).identity).toBe(id);
    expect((await source.issue(other)).identity).toBe(other);
    await expect(source.issue('spiffe://cluster.local/ns/demo/sa/none')).rejects.toThrow(
      /no certificate in files: .*set-one.pem: is for .*; .*set-two.pem: is for /);
    source.watch(() => undefined)();
  });
});
