import { readFileSync } from 'node:fs';

import { Command, InvalidArgumentError, Option } from 'commander';

import { layoutNames } from './layout.js';
import type { LayoutName } from './system.js';
import { systems } from './systems/index.js';
import { takesPart } from './taking_part.js';
import { workloads, type Workload } from './workloads.js';

/** What the user can correct: exit code 2. */
export class UsageError extends Error {}

/** Stands for the micro-benches in `--only`. */
const microName = 'micro';

export interface Selection {
  readonly systems: readonly string[];
  readonly workloads: readonly string[];
  readonly micro: boolean;
}

export interface BenchOptions extends Selection {
  readonly layouts: readonly LayoutName[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** From a system's start until its memory is read, at least. */
  readonly ageSeconds: number;
  readonly out: string;
  readonly pin: 'sides' | 'none';
  readonly quick: boolean;
  /** TCP congestion control of every socket; '' is the machine's default. */
  readonly congestion: string;
  /** No new cell starts after this many seconds; the tables say so. */
  readonly budgetSeconds: number;
}

interface Flags {
  only?: string[];
  layout: readonly LayoutName[];
  rounds?: number;
  seconds?: number;
  warmup?: number;
  age: number;
  out: string;
  pin: 'sides' | 'none';
  quick?: boolean;
  congestion: string;
}

const quickSystems = ['direct', 'relay', 'relay-epoll', 'hbone', 'envoy-sidecar', 'envoy-connect',
  'ztunnel'];
/**
 * V8 keeps the pages of threads that ended, as one does which makes certificates, for 8 s in case
 * others want them.
 */
export const ageUsual = 10;
// Six rounds are the fewest that give a ratio a 95 % interval.
const usual = { rounds: 6, seconds: 0.8, warmup: 0.25 };
const quick = { rounds: 6, seconds: 0.3, warmup: 0.1, budgetSeconds: 150 };

const list = (names: readonly string[]): string => names.join(', ');

export function catalogue(): string {
  return `systems: ${list(systems.map(({ name }) => name))}\n`
    + `workloads: ${list([...workloads.map(({ name }) => name), microName])}`;
}

/** The long names of a command's options, for who gave another. */
export function optionsLine(command: Command): string {
  return `options: ${list(command.options.flatMap(({ long }) => long ?? []))}`;
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

/** With the workloads whose rates others are half of. */
function withNeeded(names: readonly string[]): string[] {
  const needed = workloads.flatMap((one) =>
    names.includes(one.name) && 'halfOf' in one && one.halfOf !== undefined ? [one.halfOf] : []);
  return workloads.map(({ name }) => name).filter((name) =>
    names.includes(name) || needed.includes(name));
}

/** Names of systems and of workloads, in any order; none of a sort means all of it. */
export function select(names: readonly string[], isQuick: boolean): Selection {
  const known = [...systems, ...workloads].map(({ name }) => name);
  const unknown = names.filter((name) => name !== microName && !known.includes(name));
  if (unknown.length > 0) {
    const what = unknown.length === 1 ? 'is no system and no workload'
      : 'are no systems and no workloads';
    throw new UsageError(`--only: ${list(unknown)} ${what}\n${catalogue()}`);
  }
  const micro = names.includes(microName) || (names.length === 0 && !isQuick);
  if (names.length > 0 && names.every((name) => name === microName)) {
    return { systems: [], workloads: [], micro };
  }
  const chosen = <T extends { name: string }>(all: readonly T[], usualOnes: (one: T) => boolean):
  string[] => {
    const named = all.filter(({ name }) => names.includes(name));
    return (named.length > 0 ? named : all.filter(usualOnes)).map(({ name }) => name);
  };
  const found = {
    systems: chosen(systems, ({ name }) => !isQuick || quickSystems.includes(name)),
    workloads: withNeeded(chosen(workloads, (one: Workload) => !isQuick || one.quick === true)),
  };
  if (!workloads.some((workload) => found.workloads.includes(workload.name)
    && found.systems.some((name) => takesPart(name, workload)))) {
    throw new UsageError('--only: none of these systems takes part in any of these workloads');
  }
  return { ...found, micro };
}

/** Names of TCP congestion controls. */
export const congestionControls = (which: 'available' | 'allowed'): string[] =>
  readFileSync(`/proc/sys/net/ipv4/tcp_${which}_congestion_control`, 'utf8').trim().split(/\s+/);

function congestion(text: string): string {
  if (text === '') return text;
  const known = congestionControls('available');
  if (!known.includes(text)) throw new InvalidArgumentError(`the kernel has ${list(known)}.`);
  const allowed = congestionControls('allowed');
  if (allowed.includes(text)) return text;
  throw new InvalidArgumentError(`network namespaces may use ${list(allowed)}; as root, sysctl -w `
    + `net.ipv4.tcp_allowed_congestion_control="${[...allowed, text].join(' ')}" allows it.`);
}

export function makeCommand(name: string): Command {
  return new Command(name)
    .description('Measure what tunnels and their rivals cost. Without options: everything, on '
      + 'loopback; about an hour where all rivals are installed (bench/setup).')
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
    .addOption(new Option('--age <S>', 'from a system\'s start until its memory is read')
      .default(ageUsual).argParser(number(0, 3_600, false)))
    .option('--out <DIR>', 'where results.jsonl, results.md and results.html go', 'bench-results')
    .addOption(new Option('--congestion <NAME>', 'TCP congestion control of every socket of every '
      + 'system; needs root, for it takes a network namespace')
      .default('', 'the machine\'s default').argParser(congestion))
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
    warmupSeconds: flags.warmup ?? defaults.warmup, ageSeconds: flags.age, out: flags.out,
    pin: flags.pin, quick: isQuick, congestion: flags.congestion,
    budgetSeconds: isQuick ? quick.budgetSeconds : Infinity,
  };
}
