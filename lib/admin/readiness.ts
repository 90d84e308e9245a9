import type { Mount } from './server.js';

/** What a role waits for before it takes traffic. */
export class Readiness {
  readonly #pending = new Map<string, string>();

  /** `detail` tells what it waits for, in a few words. */
  wait(task: string, detail = ''): void {
    this.#pending.set(task, detail);
  }

  done(task: string): void {
    this.#pending.delete(task);
  }

  get ready(): boolean {
    return this.#pending.size === 0;
  }

  get pending(): string[] {
    return [...this.#pending].map(([task, detail]) => detail === '' ? task : `${task} (${detail})`);
  }

  mount(): Mount {
    return {
      methods: ['GET'], path: '/healthz/ready', doc: '200 when traffic is welcome',
      handler: () => this.ready ? { body: 'ready\n' }
        : { status: 500, body: `not ready, pending: ${this.pending.join(', ')}\n` },
    };
  }
}
