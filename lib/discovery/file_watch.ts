import { watch, type FSWatcher } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';

/** What tells one state of a file from another; '' when there is no file. */
export type FileStamp = string;

/** Inode, size and times of the file behind all links. */
export async function stampOf(path: string): Promise<FileStamp> {
  return (await lookAt(path)).stamp;
}

export interface FileLook {
  readonly stamp: FileStamp;
  /** It is unlikely that somebody is still writing it. */
  readonly whole: boolean;
}

/**
 * A file is whole when it was renamed after it was last written, or was left alone for `quietMs`.
 * One that is missing may be back at once.
 */
export async function lookAt(path: string, quietMs = 0): Promise<FileLook> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    const quiet = Date.now() - Number(ctimeNs / 1_000_000n) > quietMs;
    const stamp = [dev, ino, size, mtimeNs, ctimeNs].join(':');
    return { stamp, whole: quiet || ctimeNs > mtimeNs };
  } catch {
    return { stamp: '', whole: false };
  }
}

/**
 * Calls back whenever something may have happened to the file: written in place, replaced by a
 * rename, or reached through a link that was swapped, as a ConfigMap does. Directories are watched,
 * since a watch on a file stays with the old file. Events may be lost (network file systems, a
 * directory that was replaced), so a slow look from time to time stands behind them.
 */
export class FileWatch {
  readonly #path: string;
  readonly #onChange: () => void;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #timer: NodeJS.Timeout;
  #stamp: FileStamp = '';
  #closed = false;

  constructor(path: string, onChange: () => void, pollMs = 5_000) {
    this.#path = resolve(path);
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.#poll(), pollMs);
    this.#timer.unref();
  }

  /** Watches where the path leads now; to be called again when that may have changed. */
  async follow(): Promise<void> {
    const wanted = new Set([dirname(this.#path)]);
    try {
      wanted.add(dirname(await realpath(this.#path)));
    } catch {
      // Nothing there yet: the directory will tell.
    }
    if (this.#closed) return;
    for (const [directory, watcher] of this.#watchers) {
      if (wanted.has(directory)) continue;
      watcher.close();
      this.#watchers.delete(directory);
    }
    for (const directory of wanted) {
      if (!this.#watchers.has(directory)) this.#watch(directory);
    }
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #watch(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, (_, name) => {
        // Names beside ours matter only where links lead through them.
        if (name === null || name === basename(this.#path) || name.startsWith('..')
          || directory !== dirname(this.#path)) this.#onChange();
      });
      watcher.on('error', () => {
        watcher.close();
        this.#watchers.delete(directory);
      });
      this.#watchers.set(directory, watcher);
    } catch {
      // Gone, or out of watches: the slow look remains.
    }
  }

  async #poll(): Promise<void> {
    const stamp = await stampOf(this.#path);
    if (this.#closed || stamp === this.#stamp) return;
    this.#stamp = stamp;
    // A new directory of the same name needs a new watch.
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    await this.follow();
    if (!this.#closed) this.#onChange();
  }
}
