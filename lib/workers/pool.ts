import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';

import type { Piscina } from 'piscina';

export interface WorkerPoolOptions {
  /** Threads at most; they start on demand. */
  threads: number;
  /** A thread without work ends after this long and gives its memory back. */
  idleMs: number;
  /** Tasks waiting at most; one more is refused. */
  queueMax: number;
  /** The last thread has ended; what it leaves behind can be given back. */
  onRest?: () => void;
}

/** A function exported by a module that is loaded inside the worker thread. */
export interface WorkerTask<Input, Output> {
  readonly module: string;
  readonly name: string;
  /** Never set: carries the types. */
  readonly signature?: (input: Input) => Output;
}

/**
 * Names an exported function of the module beside `base` (an `import.meta.url`). Worker threads load
 * compiled code only, so a source module is looked up in `dist/`.
 */
export function workerTask<Input, Output>(
  base: string, file: string, name: string,
): WorkerTask<Input, Output> {
  let path = fileURLToPath(new URL(file, base));
  if (!existsSync(path)) path = path.replace(/\/lib\/(?=[^/]+\/[^/]+$)/, '/dist/');
  return { module: path, name };
}

/**
 * Worker threads for what would stall the event loop: keys, signatures, large files. Nothing is loaded
 * and no thread runs before the first task, so an idle pool costs nothing.
 */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  #pool: Promise<Piscina> | undefined;
  #closed = false;

  constructor(options: Partial<WorkerPoolOptions> = {}) {
    this.#options = { threads: 2, idleMs: 500, queueMax: 65_536, ...options };
  }

  /** Rejects with the task's own error, or when the pool is closed or its queue is full. */
  async run<Input, Output>(task: WorkerTask<Input, Output>, input: Input,
    signal?: AbortSignal): Promise<Output> {
    if (this.#closed) throw new Error('the worker pool is closed');
    this.#pool ??= this.#open();
    const pool = await this.#pool;
    const output: unknown = await pool.run(input, {
      filename: task.module, name: task.name, ...(signal === undefined ? {} : { signal }),
    });
    return output as Output;
  }

  async #open(): Promise<Piscina> {
    const { Piscina: Pool } = await import('piscina');
    const pool = new Pool({
      minThreads: 0,
      maxThreads: this.#options.threads,
      idleTimeout: this.#options.idleMs,
      maxQueue: this.#options.queueMax,
      concurrentTasksPerWorker: 1,
      // Otherwise the pool keeps a table of times for each thread that nobody reads.
      recordTiming: false,
    });
    const running = new Set<Worker>();
    pool.on('workerCreate', () => {
      for (const thread of pool.threads) {
        if (running.has(thread)) continue;
        running.add(thread);
        thread.once('exit', () => {
          running.delete(thread);
          if (running.size === 0 && !this.#closed) this.#options.onRest?.();
        });
      }
    });
    return pool;
  }

  /** Ends the threads; tasks that run or wait reject. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    const pool = await this.#pool;
    this.#pool = undefined;
    await pool?.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
