import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { layoutObstacle, type Pinning } from './layout.js';
import { loadGenerator } from './loadgen.js';
import { describeMachine, type Machine } from './machine.js';
import { measureCell } from './measure.js';
import type { Measurement } from './measurement.js';
import { runMicro, type MicroReport } from './micro/index.js';
import type { BenchOptions } from './options.js';
import { Stage } from './processes.js';
import type { Progress } from './progress.js';
import { Rig, rigKeyOf, type Ground } from './rig.js';
import { median } from './statistics.js';
import type { LayoutName, System } from './system.js';
import { systems } from './systems/index.js';
import { takesPart } from './taking_part.js';
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
  /** From a system's start until its memory is read; older records lack it. */
  readonly ageSeconds?: number;
  /** Whether `congestion` was asked for; older records lack it. */
  readonly congestionGiven?: boolean;
  readonly pinning: Pinning;
}

/** A layout that this machine cannot have, or a run that was cut short. */
export interface RemarkRecord {
  readonly kind: 'remark';
  readonly text: string;
}

/** Parts of the engine by themselves. */
export interface MicroRecord extends MicroReport {
  readonly kind: 'micro';
}

export type ResultRecord = SetupRecord | SystemRecord | RunRecord | RemarkRecord | MicroRecord;

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
  readonly #failures = new Map<string, number>();
  /** Open loops whose rate was found in this run, by layout and workload. */
  readonly #openRates = new Map<string, number>();
  /** What runs at the moment, by rigKeyOf. */
  readonly #rigs = new Map<string, Rig>();
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
    this.#clear();
  }

  #clear(): void {
    this.#stage.killAll();
    Rig.removeLayouts();
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  async run(): Promise<void> {
    const { layouts, rounds, seconds, warmupSeconds, ageSeconds, pin, congestion, micro } =
      this.#options;
    const machine = describeMachine();
    const pinning = pinningOf(pin, machine.processors);
    const binary = loadGenerator();
    this.#record({
      kind: 'setup', ...machine, rounds, seconds, warmupSeconds, ageSeconds, pinning,
      congestion: congestion || machine.congestion, congestionGiven: congestion !== '',
    });
    const { signal } = this.#abort;
    try {
      const grounds: [Ground, System[]][] = [];
      for (const layout of layouts) {
        const obstacle = layoutObstacle(layout, congestion);
        if (obstacle !== '') {
          this.#record({ kind: 'remark', text: `layout ${layout} is absent: ${obstacle}` });
          continue;
        }
        grounds.push([{
          layout, pinning, congestion, ageSeconds, binary, stage: this.#stage,
          scratch: this.#scratch, signal,
        }, await this.#probe(layout)]);
      }
      this.#bar = this.#progress(rounds * grounds.reduce((sum, [{ layout }, present]) =>
        sum + this.#cellsOf(layout, present).length, 0));
      for (const [ground, present] of grounds) await this.#rounds(ground, present);
      if (micro) await this.#micro();
    } finally {
      this.#bar?.clear();
      await this.#stage.endAll();
      this.#clear();
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

  #cellsOf(layout: LayoutName, present: readonly System[]): [Workload, System][] {
    return workloads.filter(({ name }) => this.#options.workloads.includes(name))
      .flatMap((workload) => present.filter(({ name }) => takesPart(name, workload, layout))
        .map((system): [Workload, System] => [workload, system]));
  }

  /**
   * In a round every workload has its turn; in a workload rivals one after the other, the other way
   * round in every second round. Systems run on from one workload to the next and start anew in
   * each round.
   */
  async #rounds(ground: Ground, present: readonly System[]): Promise<void> {
    const { rounds, budgetSeconds } = this.#options;
    const cells = this.#cellsOf(ground.layout, present);
    const chosen = [...new Set(cells.map(([workload]) => workload))];
    for (let round = 1; round <= rounds; round += 1) {
      for (const [index, workload] of chosen.entries()) {
        if ((Date.now() - this.#startedMs) / 1_000 > budgetSeconds) {
          const text = `time was up in round ${round} of ${rounds}, before ${workload.name}: `
            + `${chosen.length - index} of ${chosen.length} workloads have a round less`;
          this.#record({ kind: 'remark', text });
          return this.#stopRigs();
        }
        const rivals = cells.filter(([one]) => one === workload).map(([, system]) => system);
        for (const system of round % 2 === 1 ? rivals : rivals.reverse()) {
          await this.#turn(ground, workload, system, round);
          this.#done += 1;
        }
      }
      await this.#stopRigs();
    }
  }

  /** A cell, unless it has failed too often. */
  async #turn(ground: Ground, workload: Workload, system: System, round: number): Promise<void> {
    const { layout, signal } = ground;
    const key = `${layout} ${workload.name} ${system.name}`;
    const failures = this.#failures.get(key) ?? 0;
    if (failures >= failuresMax) return;
    const said = {
      kind: 'run', layout, workload: workload.name, system: system.name, round,
    } as const;
    this.#bar?.show(this.#done, `${key}, round ${round}`);
    try {
      this.#record({ ...said, measured: await this.#cell(ground, workload, system) });
      this.#failures.delete(key);
    } catch (error) {
      signal.throwIfAborted();
      const text = error instanceof Error ? error.message : String(error);
      this.#record({ ...said, error: text });
      this.#bar?.say(`${workload.name} ${system.name}: ${text}`);
      this.#failures.set(key, failures + 1);
      await this.#stopRig(rigKeyOf(system, workload));
    }
  }

  async #cell(ground: Ground, workload: Workload, system: System): Promise<Measurement> {
    const { seconds, warmupSeconds } = this.#options;
    const openRate = this.#openRate(ground.layout, workload);
    const effort = {
      seconds, warmupSeconds, ...(openRate === undefined ? {} : { openRate }),
    };
    if (workload.fresh === true || system.restless === true) {
      const rig = await Rig.start(ground, system, workload);
      try {
        return await measureCell(rig, workload, effort);
      } finally {
        await rig.stop();
      }
    }
    const key = rigKeyOf(system, workload);
    const rig = this.#rigs.get(key) ?? await Rig.start(ground, system, workload);
    this.#rigs.set(key, rig);
    return measureCell(rig, workload, effort);
  }

  async #stopRig(key: string): Promise<void> {
    const rig = this.#rigs.get(key);
    this.#rigs.delete(key);
    await rig?.stop();
  }

  async #stopRigs(): Promise<void> {
    await Promise.all([...this.#rigs.keys()].map((key) => this.#stopRig(key)));
  }

  /** Half of what the slowest peer did at most; found at the first need, the same for all then. */
  #openRate(layout: LayoutName, workload: Workload): number | undefined {
    const halfOf = 'halfOf' in workload ? workload.halfOf : undefined;
    if (halfOf === undefined) return undefined;
    const key = `${layout} ${halfOf}`;
    const known = this.#openRates.get(key) ?? this.#slowestOf(layout, halfOf) / 2;
    if (!(known >= 1 && known < Infinity)) {
      throw new Error(`no peer has a rate in ${halfOf}, of which this is half`);
    }
    this.#openRates.set(key, known);
    return known;
  }

  #slowestOf(layout: LayoutName, workload: string): number {
    const rates = new Map<string, number[]>();
    for (const record of this.records) {
      if (record.kind !== 'run' || record.layout !== layout) continue;
      if (record.workload !== workload) continue;
      const { rate = 0 } = record.measured ?? {};
      if (rate > 0) rates.set(record.system, [...rates.get(record.system) ?? [], rate]);
    }
    return Math.min(...[...rates.values()].map(median));
  }

  async #micro(): Promise<void> {
    const { quick } = this.#options;
    const report = await runMicro({
      seconds: quick ? 0.05 : 0.3, signal: this.#abort.signal,
      progress: ({ group, name }) => this.#bar?.show(this.#done, `${group}: ${name}`),
    });
    this.#record({ kind: 'micro', ...report });
  }
}
