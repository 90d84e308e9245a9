import { Command, InvalidArgumentError, Option } from 'commander';

import { layoutNames } from './layout.js';
import type { LayoutName } from './system.js';
import { systems } from './systems/index.js';
import { workloads, type Workload } from './workloads.js';

/** What the user can correct: exit code 2. */
export class UsageError extends Error {}

export interface Selection {
  readonly systems: readonly string[];
  readonly workloads: readonly string[];
}

export interface BenchOptions extends Selection {
  readonly layouts: readonly LayoutName[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly out: string;
  readonly pin: 'sides' | 'none';
  readonly quick: boolean;
  /** No new cell starts after this many seconds; the tables say so. */
  readonly budgetSeconds: number;
}

interface Flags {
  only?: string[];
  layout: readonly LayoutName[];
  rounds?: number;
  seconds?: number;
  warmup?: number;
  out: string;
  pin: 'sides' | 'none';
  quick?: boolean;
}

const quickSystems = ['direct', 'relay', 'relay-epoll', 'hbone', 'envoy-sidecar', 'envoy-l4'];
const usual = { rounds: 7, seconds: 1, warmup: 0.3 };
const quick = { rounds: 3, seconds: 0.4, warmup: 0.15, budgetSeconds: 165 };

const list = (names: readonly string[]): string => names.join(', ');

export function catalogue(): string {
  return `systems: ${list(systems.map(({ name }) => name))}\n`
    + `workloads: ${list(workloads.map(({ name }) => name))}`;
}

function number(least: number, most: number, whole: boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= least && value <= most)
      || (whole && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`a ${whole ? 'whole ' : ''}number from ${least} to ${most} `
        + 'would be right.');
    }
    return value;
  };
}

function layouts(text: string): LayoutName[] {
  return text.split(',').map((name) => {
    const found = layoutNames.find((known) => known === name);
    if (found === undefined) throw new InvalidArgumentError(`layouts: ${list(layoutNames)}.`);
    return found;
  });
}

/** Names of systems and of workloads, in any order; none of a sort means all of it. */
export function select(names: readonly string[], isQuick: boolean): Selection {
  const unknown = names.filter((name) => !systems.some((system) => system.name === name)
    && !workloads.some((workload) => workload.name === name));
  if (unknown.length > 0) {
    const what = unknown.length === 1 ? 'is no system and no workload'
      : 'are no systems and no workloads';
    throw new UsageError(`--only: ${list(unknown)} ${what}\n${catalogue()}`);
  }
  const chosen = <T extends { name: string }>(all: readonly T[], usualOnes: (one: T) => boolean):
  string[] => {
    const named = all.filter(({ name }) => names.includes(name));
    return (named.length > 0 ? named : all.filter(usualOnes)).map(({ name }) => name);
  };
  return {
    systems: chosen(systems, ({ name }) => !isQuick || quickSystems.includes(name)),
    workloads: chosen(workloads, (one: Workload) => !isQuick || one.quick === true),
  };
}

export function makeCommand(name: string): Command {
  return new Command(name)
    .description('Measure what tunnels and their rivals cost. Without options: everything, on '
      + 'loopback; some hours where all rivals are installed (bench/setup).')
    .option('--quick', 'a few systems and workloads, in less than 3 minutes')
    .addOption(new Option('--only <NAMES>', 'systems and workloads by name, with commas between')
      .argParser((text: string, before: string[] = []) => [...before, ...text.split(',')]))
    .addOption(new Option('--layout <NAMES>', `where the parts live: ${list(layoutNames)}`)
      .default(['loopback'], 'loopback').argParser(layouts))
    .addOption(new Option('--rounds <N>', `how often each is measured (${usual.rounds})`)
      .argParser(number(1, 1_000, true)))
    .addOption(new Option('--seconds <S>', `measured window of one run (${usual.seconds})`)
      .argParser(number(0.05, 3_600, false)))
    .addOption(new Option('--warmup <S>', `before the window (${usual.warmup})`)
      .argParser(number(0, 60, false)))
    .option('--out <DIR>', 'where results.jsonl, results.md and results.html go', 'bench-results')
    .addOption(new Option('--pin <HOW>', 'sides: client and near proxy on one half of the '
      + 'processors, far proxy and server on the other').choices(['sides', 'none']).default('sides'))
    .addHelpText('after', `\n${catalogue()}`);
}

/** Throws UsageError, or commander's own error. */
export function optionsOf(flags: Flags): BenchOptions {
  const isQuick = flags.quick === true;
  const defaults = isQuick ? quick : usual;
  return {
    ...select(flags.only ?? [], isQuick), layouts: flags.layout,
    rounds: flags.rounds ?? defaults.rounds, seconds: flags.seconds ?? defaults.seconds,
    warmupSeconds: flags.warmup ?? defaults.warmup, out: flags.out, pin: flags.pin, quick: isQuick,
    budgetSeconds: isQuick ? quick.budgetSeconds : Infinity,
  };
}
