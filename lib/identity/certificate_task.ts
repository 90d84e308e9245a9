/**
 * Runs in worker threads: keys and certificates of workloads. A node proxy is ready once it has them, so
 * they are made with what Node brings along: an X.509 library takes longer to load than all else here.
 */
import {
  createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign, X509Certificate, type KeyObject,
} from 'node:crypto';

import { timesOf } from './certificate.js';
import { context, decodeAll, encode, encodeOid, encodeTime, tag, type Element } from './der.js';

/** Peers with clocks behind ours accept the certificate at once. */
export const clockSkewMs = 2 * 60_000;

export interface KeyedCertificate {
  certificatePem: string;
  keyPem: string;
}

export interface LeafRequest {
  identity: string;
  nowMs: number;
  notAfterMs: number;
}

/** Leaves of one issuer; an issuer that cannot sign fails them all. */
export interface LeafRequests {
  issuerPem: string;
  issuerKeyPem: string;
  leaves: readonly LeafRequest[];
}

export interface LeafCertificate extends KeyedCertificate {
  serial: string;
  notBeforeMs: number;
  notAfterMs: number;
}

/** 127 random bits; positive, as RFC 5280 4.1.2.2 asks. */
export function newSerial(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

/** X.509 times count whole seconds: rounds down for the start, up for the end. */
export const secondsDown = (ms: number): number => Math.floor(ms / 1000) * 1000;
export const secondsUp = (ms: number): number => Math.ceil(ms / 1000) * 1000;

const sequence = (...parts: readonly Uint8Array[]): Buffer => encode(tag.sequence, ...parts);
const yes = encode(tag.boolean, Buffer.from([0xff]));
/** The octet that counts unused bits is 0, but for a key usage. */
const bitString = (bytes: Uint8Array): Buffer => encode(tag.bitString, Buffer.from([0]), bytes);

function extension(oid: string, critical: boolean, value: Uint8Array): Buffer {
  return sequence(encodeOid(oid), ...(critical ? [yes] : []), encode(tag.octetString, value));
}

const authorityKeyOid = '2.5.29.35';
const subjectKeyOid = encodeOid('2.5.29.14');
/** RFC 5280 4.2.1.9, 4.2.1.3 (digitalSignature and keyEncipherment), 4.2.1.12 (serverAuth, clientAuth). */
const leafExtensions = [
  extension('2.5.29.19', true, sequence()),
  extension('2.5.29.15', true, encode(tag.bitString, Buffer.from([5, 0b1010_0000]))),
  extension('2.5.29.37', false, sequence(
    encodeOid('1.3.6.1.5.5.7.3.1'), encodeOid('1.3.6.1.5.5.7.3.2'))),
];

/** RFC 5758 3.2 and RFC 4055 5. */
const ecdsa: Readonly<Record<string, readonly [oid: string, hash: string]>> = {
  prime256v1: ['1.2.840.10045.4.3.2', 'sha256'],
  secp384r1: ['1.2.840.10045.4.3.3', 'sha384'],
  secp521r1: ['1.2.840.10045.4.3.4', 'sha512'],
};
const rsaOid = '1.2.840.113549.1.1.11';
const nothing = Buffer.from([0x05, 0x00]);

interface Signer {
  readonly key: KeyObject;
  readonly hash: string;
  /** AlgorithmIdentifier. */
  readonly algorithm: Buffer;
}

function signerOf(keyPem: string): Signer {
  const key = createPrivateKey(keyPem);
  if (key.asymmetricKeyType === 'ec') {
    const known = ecdsa[key.asymmetricKeyDetails?.namedCurve ?? ''];
    if (known === undefined) throw new Error('the signing key is on a curve we cannot sign with');
    const [oid, hash] = known;
    return { key, hash, algorithm: sequence(encodeOid(oid)) };
  }
  if (key.asymmetricKeyType === 'rsa') {
    return { key, hash: 'sha256', algorithm: sequence(encodeOid(rsaOid), nothing) };
  }
  throw new Error(`the signing key is ${key.asymmetricKeyType ?? 'unknown'}; EC or RSA would be right`);
}

interface Issuer {
  /** Its subject, as it wrote it. */
  readonly name: Buffer;
  readonly keyIdentifier: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** RFC 5280 4.2.1.1: what the issuer calls its key; else the first of the ways in 4.2.1.2. */
function keyIdentifierOf(extensions: Element | undefined, publicKeyInfo: Element): Buffer {
  const [list] = extensions === undefined ? [] : decodeAll(extensions.content);
  for (const { content } of list === undefined ? [] : decodeAll(list.content)) {
    const parts = decodeAll(content);
    const [identifier] = decodeAll(parts.at(-1)?.content ?? Buffer.alloc(0));
    if (parts[0]?.whole.equals(subjectKeyOid) === true && identifier !== undefined) {
      return identifier.content;
    }
  }
  const bits = decodeAll(publicKeyInfo.content)[1]?.content.subarray(1) ?? Buffer.alloc(0);
  return createHash('sha1').update(bits).digest();
}

function issuerOf(pem: string): Issuer {
  const certificate = new X509Certificate(pem);
  const [whole] = decodeAll(certificate.raw);
  const [signed] = decodeAll(whole?.content ?? Buffer.alloc(0));
  // RFC 5280 4.1: version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo.
  const fields = decodeAll(signed?.content ?? Buffer.alloc(0));
  const [, , , , , subject, publicKeyInfo] = fields;
  if (subject === undefined || publicKeyInfo === undefined) throw new Error('the issuer is broken');
  return {
    name: subject.whole, ...timesOf(certificate),
    keyIdentifier: keyIdentifierOf(fields.find((field) => field.tag === context(3)), publicKeyInfo),
  };
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function issueLeaf(request: LeafRequest, issuer: Issuer, signer: Signer): LeafCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256', publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  // A leaf never outlives nor predates its issuer: peers would refuse the chain.
  const notBeforeMs = Math.max(secondsDown(request.nowMs - clockSkewMs), issuer.notBeforeMs);
  const notAfterMs = Math.min(secondsUp(request.notAfterMs), issuer.notAfterMs);
  const serial = newSerial();
  const signed = sequence(
    encode(context(0), encode(tag.integer, Buffer.from([2]))),
    encode(tag.integer, serial),
    signer.algorithm,
    issuer.name,
    sequence(encodeTime(notBeforeMs), encodeTime(notAfterMs)),
    sequence(),
    publicKey,
    encode(context(3), sequence(
      ...leafExtensions,
      extension(authorityKeyOid, false, sequence(encode(0x80, issuer.keyIdentifier))),
      // A URI; critical, because the subject is empty (RFC 5280 4.2.1.6).
      extension('2.5.29.17', true, sequence(encode(0x86, Buffer.from(request.identity)))),
    )),
  );
  const signature = sign(signer.hash, signed, signer.key);
  const certificatePem = pemOf(sequence(signed, signer.algorithm, bitString(signature)));
  return {
    certificatePem, keyPem: privateKey, serial: serial.toString('hex'), notBeforeMs, notAfterMs,
  };
}

export function issueLeaves({ issuerPem, issuerKeyPem, leaves }: LeafRequests): LeafCertificate[] {
  if (leaves.length === 0) return [];
  const issuer = issuerOf(issuerPem);
  const signer = signerOf(issuerKeyPem);
  return leaves.map((leaf) => issueLeaf(leaf, issuer, signer));
}
