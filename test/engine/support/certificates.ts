import 'reflect-metadata';
import { webcrypto } from 'node:crypto';

import {
  BasicConstraintsExtension, ExtendedKeyUsage, ExtendedKeyUsageExtension, KeyUsageFlags,
  KeyUsagesExtension, SubjectAlternativeNameExtension, X509CertificateGenerator, cryptoProvider,
} from '@peculiar/x509';

import type { CredentialSpec } from '../../../lib/engine/contract.js';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const hourMs = 3_600_000;
cryptoProvider.set(webcrypto as Crypto);

async function pemOfKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  const lines = der.replace(/(.{64})/g, '$1\n');
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
}

/** A certificate authority that issues SPIFFE credentials for the engine. */
export async function testAuthority(): Promise<(id: string) => Promise<CredentialSpec>> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const now = Date.now();
  const validity = { notBefore: new Date(now - hourMs), notAfter: new Date(now + hourMs) };
  const root = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01', name: 'O=test', keys: keys as CryptoKeyPair, signingAlgorithm: algorithm,
    ...validity,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  const rootsPem = `${root.toString('pem')}\n`;
  let serial = 1;
  return async (id) => {
    const own = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    serial += 1;
    const leaf = await X509CertificateGenerator.create({
      serialNumber: serial.toString(16).padStart(4, '0'), subject: '', issuer: root.subject,
      publicKey: own.publicKey as CryptoKey, signingKey: keys.privateKey as CryptoKey,
      signingAlgorithm: algorithm, ...validity,
      extensions: [
        new SubjectAlternativeNameExtension([{ type: 'url', value: id }], true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension(
          [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth], false),
      ],
    });
    const keyPem = await pemOfKey(own.privateKey);
    return { chainPem: `${leaf.toString('pem')}\n`, keyPem, rootsPem };
  };
}
