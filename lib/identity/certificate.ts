import { X509Certificate } from 'node:crypto';

import { IdentityError } from './error.js';

/** A key pair's certificate with all a peer needs to check it and to be checked. */
export interface IssuedCertificate {
  /** First SPIFFE URI of the leaf. */
  readonly identity: string;
  /** PEM: leaf, then intermediates; no root. */
  readonly chainPem: string;
  /** PEM, PKCS#8. */
  readonly keyPem: string;
  /** PEM: the roots that peers must chain to. */
  readonly rootsPem: string;
  /** Hexadecimal. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Where certificates come from: a certificate authority, or files somebody else renews. */
export interface CertificateSource {
  issue(identity: string): Promise<IssuedCertificate>;
  /** Calls back when a certificate may have been replaced outside; returns the way to stop it. */
  watch?(changed: () => void): () => void;
}

const certificatePattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM text, in order. Throws with `what` when there is none or one is broken. */
export function certificatesOf(pem: string, what: string): X509Certificate[] {
  const blocks = pem.match(certificatePattern) ?? [];
  if (blocks.length === 0) throw new IdentityError(`${what}: holds no PEM certificate`);
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new IdentityError(`${what}: certificate ${index + 1} of ${blocks.length} is broken: ${why}`);
    }
  });
}

/** The SPIFFE URIs of a certificate, in order. */
export function spiffeUrisOf(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? '').split(/, (?=[A-Za-z ]+:)/)
    .filter((name) => name.startsWith('URI:spiffe://'))
    .map((name) => name.slice('URI:'.length));
}

/** `validTo` and its like, in milliseconds since the epoch. */
export function timesOf(certificate: X509Certificate): { notBeforeMs: number; notAfterMs: number } {
  return {
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
  };
}
