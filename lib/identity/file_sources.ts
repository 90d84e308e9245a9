import { messageOf } from '../base/error.js';
import type { CertificateSource, IssuedCertificate } from './certificate.js';
import { IdentityError } from './error.js';
import { FileSource, type FileSourceOptions } from './file_source.js';

/** The certificates of several identities, each in files of its own. */
export class FileSources implements CertificateSource {
  readonly #sources: readonly FileSource[];

  constructor(sets: readonly FileSourceOptions[]) {
    this.#sources = sets.map((set) => new FileSource(set));
  }

  /** From the first set whose certificate is for the identity, and whose key fits. */
  async issue(identity: string): Promise<IssuedCertificate> {
    const problems: string[] = [];
    for (const source of this.#sources) {
      try {
        return await source.issue(identity);
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
    throw new IdentityError(`${identity}: no certificate in files: ${problems.join('; ')}`);
  }

  watch(changed: () => void): () => void {
    const stops = this.#sources.map((source) => source.watch(changed));
    return () => {
      for (const stop of stops) stop();
    };
  }
}
