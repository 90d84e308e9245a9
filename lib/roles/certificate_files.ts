import type { CertificateSource } from '../identity/certificate.js';
import type { FileSourceOptions } from '../identity/file_source.js';
import { FileSources } from '../identity/file_sources.js';

export type { CertificateSource, IssuedCertificate } from '../identity/certificate.js';
export type { FileSourceOptions as CertificateFileSet } from '../identity/file_source.js';

/**
 * Certificates that somebody else makes and renews, one set of PEM files for each identity: for
 * `certificates` of `createNodeProxy`. The files are looked at every second, and what changed is
 * used for new tunnels. An identity without a set of its own is not served.
 */
export function certificateFiles(...sets: readonly FileSourceOptions[]): CertificateSource {
  return new FileSources(sets);
}
