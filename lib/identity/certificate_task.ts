/** Runs in worker threads: everything that makes keys or signatures, and the library it needs. */
import 'reflect-metadata';
import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto';

import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto);

const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Peers with clocks behind ours accept the certificate at once. */
const clockSkewMs = 2 * 60_000;

export interface RootRequest {
  trustDomain: string;
  nowMs: number;
  ttlMs: number;
}

export interface KeyedCertificate {
  certificatePem: string;
  keyPem: string;
}

export interface LeafRequest {
  identity: string;
  nowMs: number;
  notAfterMs: number;
  issuerPem: string;
  issuerKeyPem: string;
}

export interface LeafCertificate extends KeyedCertificate {
  serial: string;
  notBeforeMs: number;
  notAfterMs: number;
}

/** 127 random bits; positive, as RFC 5280 4.1.2.2 asks. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function newKey(): Promise<{ keys: webcrypto.CryptoKeyPair; keyPem: string }> {
  const keys = await webcrypto.subtle.generateKey(curve, true, ['sign', 'verify']);
  const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { keys, keyPem: `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n` };
}

/** X.509 times count whole seconds: rounds down for the start, up for the end. */
const secondsDown = (ms: number): number => Math.floor(ms / 1000) * 1000;
const secondsUp = (ms: number): number => Math.ceil(ms / 1000) * 1000;

export async function makeRoot(request: RootRequest): Promise<KeyedCertificate> {
  const { keys, keyPem } = await newKey();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ O: [request.trustDomain] }, { CN: ['onehop local CA'] }],
    notBefore: new Date(secondsDown(request.nowMs - clockSkewMs)),
    notAfter: new Date(secondsUp(request.nowMs + request.ttlMs)),
    signingAlgorithm: curve,
    keys: keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: `${certificate.toString('pem')}\n`, keyPem };
}

interface SigningAlgorithm {
  name: string;
  hash: string;
  namedCurve?: string;
}

async function importSigningKey(pem: string): Promise<{
  key: webcrypto.CryptoKey;
  algorithm: SigningAlgorithm;
}> {
  const key = createPrivateKey(pem);
  const der = key.export({ type: 'pkcs8', format: 'der' });
  if (key.asymmetricKeyType === 'ec') {
    const named = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }[
      key.asymmetricKeyDetails?.namedCurve ?? ''];
    if (named === undefined) throw new Error('the signing key is on a curve we cannot sign with');
    const hash = { 'P-256': 'SHA-256', 'P-384': 'SHA-384', 'P-521': 'SHA-512' }[named] ?? '';
    const algorithm = { name: 'ECDSA', namedCurve: named, hash };
    return {
      key: await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']), algorithm,
    };
  }
  if (key.asymmetricKeyType === 'rsa') {
    const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
    return {
      key: await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']), algorithm,
    };
  }
  throw new Error(`the signing key is ${key.asymmetricKeyType ?? 'unknown'}; EC or RSA would be right`);
}

export async function issueLeaf(request: LeafRequest): Promise<LeafCertificate> {
  const issuer = new x509.X509Certificate(request.issuerPem);
  const signing = await importSigningKey(request.issuerKeyPem);
  const { keys, keyPem } = await newKey();
  // A leaf never outlives nor predates its issuer: peers would refuse the chain.
  const notBeforeMs = Math.max(secondsDown(request.nowMs - clockSkewMs), issuer.notBefore.getTime());
  const notAfterMs = Math.min(secondsUp(request.notAfterMs), issuer.notAfter.getTime());
  const serial = newSerial();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: '',
    issuer: issuer.subjectName,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: signing.algorithm,
    publicKey: keys.publicKey,
    signingKey: signing.key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension(
        [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      // Critical, because the subject is empty (RFC 5280 4.2.1.6).
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: request.identity }], true),
    ],
  });
  return {
    certificatePem: `${certificate.toString('pem')}\n`, keyPem, serial, notBeforeMs, notAfterMs,
  };
}
