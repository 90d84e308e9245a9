import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { makeLayout, type LiveLayout, type Pinning } from './layout.js';
import { startLoad, startServer, type Load, type RunningLoad } from './loadgen.js';
import { LiveContext, ProcessError, type Program, type Stage } from './processes.js';
import type { LayoutName, RunningSystem, System, SystemContext } from './system.js';
import { policiesUsual, type Workload } from './workloads.js';

/** After anything that was asked of a system, until its memory tells something. */
export const settleMs = 500;

type Shape = Pick<SystemContext, 'shards' | 'policies' | 'identities' | 'tunnelsKept'>;

/** What a workload asks of the way in which its systems are started. */
function shapeOf({ shards = 1, policies = policiesUsual, identities = 1,
  tunnelsKept = true }: Workload): Shape {
  return { shards, policies, identities, tunnelsKept };
}

/** Equal for workloads that can share a rig of the system. */
export const rigKeyOf = (system: System, workload: Workload): string =>
  [system.name, ...Object.values(shapeOf(workload))].join(' ');

/** What the rigs of one run have in common. */
export interface Ground {
  readonly layout: LayoutName;
  readonly pinning: Pinning;
  readonly congestion: string;
  /** From a system's start until it is at rest. */
  readonly ageSeconds: number;
  /** The load generator. */
  readonly binary: string;
  readonly stage: Stage;
  readonly scratch: string;
  readonly signal: AbortSignal;
}

/** A system that runs, with a layout and a generator's server of its own. */
export class Rig {
  readonly layout: LiveLayout;
  readonly #scratch: string;
  readonly #context: LiveContext;
  readonly #startedMs = performance.now();

  private constructor(readonly ground: Ground, readonly system: System,
    readonly running: RunningSystem, readonly server: Program, made: {
      layout: LiveLayout; scratch: string; context: LiveContext;
    }) {
    this.layout = made.layout;
    this.#scratch = made.scratch;
    this.#context = made.context;
  }

  /** As the workload wants it. Rejects with ProcessError when a process ends; nothing is left. */
  static async start(ground: Ground, system: System, workload: Workload): Promise<Rig> {
    const { binary, stage, signal } = ground;
    const layout = makeLayout(ground.layout, ground.pinning, ground.congestion);
    Rig.#layouts.add(layout);
    const scratch = await mkdtemp(join(ground.scratch, `${system.name}-`));
    const server = await startServer(binary, stage, layout, scratch, signal);
    const context = new LiveContext(stage, {
      layout, server: server.endpoint, scratch, shared: ground.scratch, signal,
      ...shapeOf(workload),
    });
    try {
      const running = await system.start(context);
      const made = { layout, scratch, context };
      return new Rig(ground, system, running, server.program, made);
    } catch (error) {
      const why = context.casualties;
      await Rig.#end(ground, { layout, scratch, context, server: server.program });
      if (signal.aborted || why === '') throw error;
      throw new ProcessError(why);
    }
  }

  static readonly #layouts = new Set<LiveLayout>();

  /** For signals: the namespaces of every rig, at once. */
  static removeLayouts(): void {
    for (const layout of Rig.#layouts) layout.remove();
    Rig.#layouts.clear();
  }

  /** What became of the programs that should run; '' when all do. */
  get casualties(): string {
    const all = [this.#context.casualties, this.server.obituary];
    return all.filter((text) => text !== '').join('; ');
  }

  /** Resolves once the system has started long ago, and nothing was asked of it for a while. */
  async rest(): Promise<void> {
    const { ageSeconds, signal } = this.ground;
    const left = this.#startedMs + ageSeconds * 1_000 - performance.now();
    await sleep(Math.max(left, settleMs), undefined, { signal });
  }

  /** Puts a load on it; the generator's server is the last whose CPU is read. */
  load(load: Partial<Load> & Pick<Load, 'work'>): RunningLoad {
    const { binary, signal } = this.ground;
    return startLoad(binary, this.layout, {
      targets: [this.running.entry], flows: 1, seconds: 1, warmupSeconds: 0,
      cpuOf: [...this.running.proxies, this.server], ...load,
    }, signal);
  }

  async stop(): Promise<void> {
    await Rig.#end(this.ground, {
      layout: this.layout, scratch: this.#scratch, context: this.#context, server: this.server,
    });
  }

  static async #end(ground: Ground, { layout, scratch, context, server }: {
    layout: LiveLayout; scratch: string; context: LiveContext; server: Program;
  }): Promise<void> {
    await context.end();
    await ground.stage.end([server]);
    layout.remove();
    Rig.#layouts.delete(layout);
    if (!ground.signal.aborted) await rm(scratch, { recursive: true, force: true });
  }
}
