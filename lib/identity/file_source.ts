import { createPrivateKey } from 'node:crypto';
import { watchFile, unwatchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';

import {
  certificatesOf, spiffeUrisOf, timesOf, type CertificateSource, type IssuedCertificate,
} from './certificate.js';
import { IdentityError } from './error.js';

export interface FileSourceOptions {
  /** PEM: leaf first, then intermediates. */
  chainFile: string;
  keyFile: string;
  rootsFile: string;
  /** How often the files are looked at, milliseconds. */
  pollMs?: number;
}

/** One identity's certificate from files that somebody else renews. */
export class FileSource implements CertificateSource {
  readonly #options: FileSourceOptions;

  constructor(options: FileSourceOptions) {
    this.#options = options;
  }

  async issue(identity: string): Promise<IssuedCertificate> {
    const { chainFile, keyFile, rootsFile } = this.#options;
    const [chainPem, keyPem, rootsPem] = await Promise.all(
      [chainFile, keyFile, rootsFile].map((file) => readFile(file, 'utf8')));
    const leaf = certificatesOf(chainPem ?? '', chainFile)[0];
    certificatesOf(rootsPem ?? '', rootsFile);
    if (leaf === undefined) throw new IdentityError(`${chainFile}: is empty`);
    const names = spiffeUrisOf(leaf);
    if (!names.includes(identity)) {
      throw new IdentityError(`${chainFile}: is for ${names.join(', ') || 'no SPIFFE id'}, not ${identity}`);
    }
    if (!leaf.checkPrivateKey(createPrivateKey(keyPem ?? ''))) {
      throw new IdentityError(`${keyFile}: is not the key of ${chainFile}`);
    }
    return {
      identity,
      chainPem: chainPem ?? '',
      keyPem: keyPem ?? '',
      rootsPem: rootsPem ?? '',
      serial: leaf.serialNumber.toLowerCase(),
      ...timesOf(leaf),
    };
  }

  /** Polls, because renewers replace files by rename and by swapping symbolic links. */
  watch(changed: () => void): () => void {
    const { chainFile, keyFile, rootsFile, pollMs = 1_000 } = this.#options;
    const files = [chainFile, keyFile, rootsFile];
    const listener = (now: { mtimeMs: number; ino: number },
      before: { mtimeMs: number; ino: number }): void => {
      if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) changed();
    };
    for (const file of files) watchFile(file, { interval: pollMs, persistent: false }, listener);
    return () => {
      for (const file of files) unwatchFile(file, listener);
    };
  }
}
