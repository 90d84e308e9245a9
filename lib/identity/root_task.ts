/** Runs in worker threads: the making of a root, which happens once, with the library it needs. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';

import * as x509 from '@peculiar/x509';

import { clockSkewMs, newSerial, secondsDown, secondsUp, type KeyedCertificate } from './certificate_task.js';

x509.cryptoProvider.set(webcrypto);

const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export interface RootRequest {
  trustDomain: string;
  nowMs: number;
  ttlMs: number;
}

export async function makeRoot(request: RootRequest): Promise<KeyedCertificate> {
  const keys = await webcrypto.subtle.generateKey(curve, true, ['sign', 'verify']);
  const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial().toString('hex'),
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
  return {
    certificatePem: `${certificate.toString('pem')}\n`,
    keyPem: `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`,
  };
}
