import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { makeLayout, layoutObstacle, type LiveLayout, type Pinning } from './layout.js';
import { loadGenerator } from './loadgen.js';
import { describeMachine, type Machine } from './machine.js';
import { measureCell, type Measurement } from './measure.js';
import type { BenchOptions } from './options.js';
import { Stage } from './processes.js';
import type { Progress } from './progress.js';
import type { LayoutName, System } from './system.js';
import { systems } from './systems/index.js';
import { workloads, type Workload } from './workloads.js';

/** After so many failures in a row the remaining rounds of a cell are not tried. */
const failuresMax = 2;

export interface SystemRecord {
  readonly kind: 'system';
  readonly name: string;
  readonly path: string;
  readonly layout: LayoutName;
  readonly version?: string;
  /** Why it is not here. */
  readonly absent?: string;
}

export interface RunRecord {
  readonly kind: 'run';
  readonly layout: LayoutName;
  readonly workload: string;
  readonly system: string;
  readonly round: number;
  readonly measured?: Measurement;
  /** Why it could not be measured. */
  readonly error?: string;
}

export interface SetupRecord extends Machine {
  readonly kind: 'setup';
  readonly rounds: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly pinning: Pinning;
}

/** A layout that this machine cannot have, or a run that was cut short. */
export interface RemarkRecord {
  readonly kind: 'remark';
  readonly text: string;
}

export type ResultRecord = SetupRecord | SystemRecord | RunRecord | RemarkRecord;

function pinningOf(how: BenchOptions['pin'], processors: number): Pinning {
  if (how === 'none' || processors < 2) return { near: '', far: '' };
  const half = processors >> 1;
  const range = (from: number, to: number): string => from === to ? `${from}` : `${from}-${to}`;
  return { near: range(0, half - 1), far: range(half, processors - 1) };
}

/** Runs what was selected, in rounds; every record goes to `results.jsonl` at once. */
export class Runner {
  readonly records: ResultRecord[] = [];
  readonly #options: BenchOptions;
  readonly #progress: (total: number) => Progress;
  readonly #stage = new Stage();
  readonly #abort = new AbortController();
  readonly #startedMs = Date.now();
  readonly #scratch = mkdtempSync(join(tmpdir(), 'onehop-bench-'));
  readonly #file: string;
  #layout: LiveLayout | undefined;
  #bar: Progress | undefined;
  #done = 0;

  constructor(options: BenchOptions, progress: (total: number) => Progress) {
    this.#options = options;
    this.#progress = progress;
    mkdirSync(options.out, { recursive: true });
    this.#file = join(options.out, 'results.jsonl');
    writeFileSync(this.#file, '');
  }

  /** For signals: ends every process and namespace before it returns; `run` rejects soon after. */
  interrupt(): void {
    this.#abort.abort(new Error('interrupted'));
    this.#bar?.clear();
    this.#stage.killAll();
    this.#layout?.remove();
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  async run(): Promise<void> {
    const { layouts, rounds, seconds, warmupSeconds, pin } = this.#options;
    const machine = describeMachine();
    const pinning = pinningOf(pin, machine.processors);
    const binary = loadGenerator();
    this.#record({ kind: 'setup', ...machine, rounds, seconds, warmupSeconds, pinning });
    const chosen = workloads.filter(({ name }) => this.#options.workloads.includes(name));
    try {
      for (const name of layouts) {
        const obstacle = layoutObstacle(name);
        if (obstacle !== '') {
          this.#record({ kind: 'remark', text: `layout ${name} is absent: ${obstacle}` });
          continue;
        }
        const present = await this.#probe(name);
        this.#bar ??= this.#progress(layouts.length * chosen.length * rounds * present.length);
        this.#layout = makeLayout(name, pinning);
        for (const workload of chosen) await this.#rounds(workload, present, binary);
        this.#layout.remove();
        this.#layout = undefined;
      }
    } finally {
      this.#bar?.clear();
      await this.#stage.endAll();
      this.#layout?.remove();
      rmSync(this.#scratch, { recursive: true, force: true });
    }
  }

  #record(record: ResultRecord): void {
    this.records.push(record);
    appendFileSync(this.#file, `${JSON.stringify(record)}\n`);
  }

  async #probe(layout: LayoutName): Promise<System[]> {
    const present: System[] = [];
    for (const system of systems) {
      const { name, path } = system;
      if (!this.#options.systems.includes(name)) continue;
      const found = await system.probe(layout);
      this.#record({ kind: 'system', name, path, layout, ...found });
      if (!('absent' in found)) present.push(system);
    }
    return present;
  }

  /** Rivals one after the other, the other way round in every second round. */
  async #rounds(workload: Workload, present: readonly System[], binary: string): Promise<void> {
    const failures = new Map<string, number>();
    const able = present.filter(({ carries }) => carries === 'bytes' || workload.carries === 'http');
    this.#done += (present.length - able.length) * this.#options.rounds;
    for (let round = 1; round <= this.#options.rounds; round += 1) {
      if ((Date.now() - this.#startedMs) / 1_000 > this.#options.budgetSeconds) {
        const left = `${workload.name}: ${round - 1} of ${this.#options.rounds} rounds, for time was up`;
        this.#record({ kind: 'remark', text: left });
        return;
      }
      for (const system of round % 2 === 1 ? able : [...able].reverse()) {
        if ((failures.get(system.name) ?? 0) < failuresMax) {
          const good = await this.#cell(workload, system, round, binary);
          failures.set(system.name, good ? 0 : (failures.get(system.name) ?? 0) + 1);
        }
        this.#done += 1;
      }
    }
  }

  async #cell(workload: Workload, system: System, round: number, binary: string): Promise<boolean> {
    const { seconds, warmupSeconds } = this.#options;
    const { signal } = this.#abort;
    const layout = this.#layout;
    if (layout === undefined) throw new Error('there is no layout');
    const said = { kind: 'run', layout: layout.name, workload: workload.name, system: system.name,
      round } as const;
    this.#bar?.show(this.#done, `${layout.name} ${workload.name} ${system.name}, round ${round}`);
    try {
      const measured = await measureCell({
        system, workload, layout, binary, stage: this.#stage, scratch: this.#scratch, seconds,
        warmupSeconds, signal,
      });
      this.#record({ ...said, measured });
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const text = error instanceof Error ? error.message : String(error);
      this.#record({ ...said, error: text });
      this.#bar?.say(`${workload.name} ${system.name}: ${text}`);
      return false;
    }
  }
}
