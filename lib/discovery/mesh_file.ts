import { readFile } from 'node:fs/promises';

import { OnehopError } from '../base/error.js';
import type { Delta } from '../model/resources.js';
import { workerTask, type WorkerPool } from '../workers/pool.js';
import { formatDiagnostic, type Diagnostic } from './diagnostic.js';
import { diffMesh, emptyMesh, isEmptyDelta } from './diff.js';
import { FileWatch, lookAt, stampOf, type FileStamp } from './file_watch.js';
import type { Mesh, ParsedMesh } from './parse_mesh.js';
import type { parseMeshTask } from './parse_task.js';

export interface MeshFileEvents {
  /** The difference to what was delivered before; never empty after the first. */
  onDelta(delta: Delta): void;
  /** The file was read again, is right, and says what was delivered before. */
  onUnchanged?(): void;
  /** With an error among them the file was refused and what it said before still holds. */
  onDiagnostics(diagnostics: readonly Diagnostic[]): void;
}

export interface MeshFileOptions {
  /**
   * Where a file is parsed when it is opened, and later when it is above `inlineBytesMax`: who never
   * changes it never loads a parser here. Without it everything is parsed here.
   */
  readonly pool?: WorkerPool;
  readonly inlineBytesMax?: number;
  /** A file written in place is read when it was left alone for so long. */
  readonly quietMs?: number;
  /** Between looks at the file that need no event. */
  readonly pollMs?: number;
}

/** The file was refused. `message` has one line per diagnostic. */
export class MeshFileError extends OnehopError {
  constructor(readonly diagnostics: readonly Diagnostic[]) {
    super('ERR_ONEHOP_MESH_FILE', diagnostics.filter(({ severity }) => severity === 'error')
      .map(formatDiagnostic).join('\n'));
  }
}

const parseTask = workerTask<Parameters<typeof parseMeshTask>[0], ParsedMesh>(
  import.meta.url, './parse_task.js', 'parseMeshTask');

/** The parser is large, and a file that stays as it is needs none here. */
async function parseHere(text: string, file: string): Promise<ParsedMesh> {
  const { parseMesh } = await import('./parse_mesh.js');
  return parseMesh(text, file);
}

/** Reads and parses a mesh file: what `onehop check` does. Never rejects. */
export async function checkMeshFile(
  path: string, options: Pick<MeshFileOptions, 'pool' | 'inlineBytesMax'> = {},
): Promise<ParsedMesh> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const why = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`;
    return { mesh: undefined, diagnostics: [{
      severity: 'error', file: path, line: 0, column: 0, path: '', value: '', message: why,
    }] };
  }
  if (options.pool !== undefined && text.length > (options.inlineBytesMax ?? 65_536)) {
    try {
      return await options.pool.run(parseTask, { text, file: path });
    } catch {
      // The pool is full, closed or out of memory; a slow answer is better than none.
    }
  }
  return parseHere(text, path);
}

/**
 * A mesh file that is followed: every good state of it becomes a delta, a broken one is only
 * reported.
 */
export class MeshFile {
  readonly #path: string;
  readonly #events: MeshFileEvents;
  readonly #options: MeshFileOptions;
  readonly #watch: FileWatch;
  #mesh: Mesh = emptyMesh;
  #stamp: FileStamp = '';
  #asked = false;
  #reading: Promise<void> | undefined;
  #closed = false;

  private constructor(path: string, events: MeshFileEvents, options: MeshFileOptions) {
    this.#path = path;
    this.#events = events;
    this.#options = options;
    this.#watch = new FileWatch(path, () => this.#changed(), options.pollMs);
  }

  /**
   * Delivers the first delta before it resolves. Rejects with MeshFileError when the file is
   * broken.
   */
  static async open(path: string, events: MeshFileEvents, options: MeshFileOptions = {}):
  Promise<MeshFile> {
    const file = new MeshFile(path, events, options);
    try {
      // Watching comes first, so that no change falls between reading and watching.
      await file.#watch.follow();
      file.#stamp = await stampOf(path);
      const parsed = await checkMeshFile(path, { ...options, inlineBytesMax: 0 });
      if (parsed.mesh === undefined) throw new MeshFileError(parsed.diagnostics);
      file.#deliver(parsed.mesh, parsed.diagnostics, true);
    } catch (error) {
      file.close();
      throw error;
    }
    // Whatever happened meanwhile.
    file.#changed();
    return file;
  }

  /** What was delivered last. */
  get mesh(): Mesh {
    return this.#mesh;
  }

  /** Reads the file now, as after SIGHUP; resolves when what it says is delivered. */
  async reload(): Promise<void> {
    this.#stamp = unread;
    this.#changed();
    await this.#reading;
  }

  close(): void {
    this.#closed = true;
    this.#watch.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #changed(): void {
    this.#asked = true;
    if (this.#closed) return;
    this.#reading ??= this.#readWhileAsked().finally(() => {
      this.#reading = undefined;
      if (this.#asked) this.#changed();
    });
  }

  async #readWhileAsked(): Promise<void> {
    while (this.#asked && !this.#closed) {
      this.#asked = false;
      await this.#watch.follow();
      const before = this.#stamp;
      const settled = this.#settled(before);
      // A change is coming, or nearly always so: the parser loads while the file comes to rest.
      if (await stampOf(this.#path) !== before) void import('./parse_mesh.js');
      const stamp = await settled;
      if (stamp === before) continue;
      const parsed = await checkMeshFile(this.#path, this.#options);
      // Written to while we read: what we have may be half of it.
      if (await stampOf(this.#path) !== stamp) {
        this.#asked = true;
        continue;
      }
      this.#stamp = stamp;
      if (this.#closed) return;
      if (parsed.mesh === undefined) this.#events.onDiagnostics(parsed.diagnostics);
      else this.#deliver(parsed.mesh, parsed.diagnostics, false);
    }
  }

  /** The file's stamp once it is worth reading: not while it is being written or is away. */
  async #settled(before: FileStamp): Promise<FileStamp> {
    const quietMs = this.#options.quietMs ?? 30;
    let { stamp, whole } = await lookAt(this.#path, quietMs);
    for (let round = 0; round < settleRoundsMax && !whole && stamp !== before; round++) {
      await new Promise((done) => setTimeout(done, quietMs));
      const later = await lookAt(this.#path, quietMs);
      if (later.stamp === stamp || this.#closed) return stamp;
      ({ stamp, whole } = later);
    }
    return stamp;
  }

  #deliver(mesh: Mesh, diagnostics: readonly Diagnostic[], always: boolean): void {
    const { delta, mesh: merged } = diffMesh(this.#mesh, mesh);
    this.#mesh = merged;
    if (diagnostics.length > 0) this.#events.onDiagnostics(diagnostics);
    if (always || !isEmptyDelta(delta)) this.#events.onDelta(delta);
    else this.#events.onUnchanged?.();
  }
}

/** The stamp of no file, not even of one that is missing. */
const unread = 'unread';
/** A file that is never left alone is read all the same. */
const settleRoundsMax = 50;
