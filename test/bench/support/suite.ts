import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { ResultRecord, RunRecord, SystemRecord } from '../../../bench/suite/runner.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const main = join(root, 'dist', 'bench', 'main.js');
const markName = 'ONEHOP_BENCH_TEST';
const leftoverMsMax = 5_000;

/** A run of the bench in a process of its own, whose descendants can be told from all others. */
export class BenchRun {
  readonly #mark = `${markName}=${randomUUID()}`;
  readonly #out = mkdtempSync(join(tmpdir(), 'onehop-bench-test-'));
  readonly #child: ChildProcess;
  readonly code: Promise<number>;
  markdown = '';
  complaint = '';

  constructor(...args: readonly string[]) {
    this.#child = spawn(process.execPath, [main, '--out', this.#out, ...args], {
      env: { ...process.env, [markName]: this.#mark.slice(markName.length + 1) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.markdown += text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.complaint += text));
    this.code = once(this.#child, 'close').then(([code]) => code as number);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  get records(): ResultRecord[] {
    const lines = readFileSync(join(this.#out, 'results.jsonl'), 'utf8').split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as ResultRecord);
  }

  get runs(): RunRecord[] {
    return this.records.filter((record) => record.kind === 'run');
  }

  get systems(): SystemRecord[] {
    return this.records.filter((record) => record.kind === 'system');
  }

  /** Command lines of its processes that still run, itself not among them. */
  descendants(): { pid: number; command: string }[] {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
      try {
        if (Number(name) === this.pid) return [];
        if (!readFileSync(`/proc/${name}/environ`, 'latin1').includes(this.#mark)) return [];
        const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ');
        return command === '' ? [] : [{ pid: Number(name), command }];
      } catch {
        return [];
      }
    });
  }

  /** Of its network namespaces and processes, what is there after its end. */
  async leftovers(): Promise<string[]> {
    const deadline = Date.now() + leftoverMsMax;
    for (;;) {
      const found = [...this.descendants().map(({ command }) => command), ...this.#namespaces()];
      if (found.length === 0 || Date.now() > deadline) return found;
      await sleep(50);
    }
  }

  #namespaces(): string[] {
    try {
      return readdirSync('/run/netns').filter((name) => name.startsWith(`ohb${this.pid}-`));
    } catch {
      return [];
    }
  }

  /** Waits for a part of the progress lines. */
  async said(text: string): Promise<void> {
    while (!this.complaint.includes(text)) {
      if (this.#child.exitCode !== null) throw new Error(`it ended early: ${this.complaint}`);
      await sleep(20);
    }
  }

  remove(): void {
    this.#child.kill('SIGKILL');
    rmSync(this.#out, { recursive: true, force: true });
  }
}
