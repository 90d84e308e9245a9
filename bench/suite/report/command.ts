import type { Command } from 'commander';

import { UsageError } from '../options.js';

interface Rendered {
  readonly directories: readonly string[];
  /** Where all of them go together; left out: each stays in its place. */
  readonly out: string | undefined;
}

/** Gives the bench its second way of working: reports of results that are there already. */
export function addRender(command: Command): Command {
  return command.option('--render <DIRS...>', 'measure nothing: write results.md, results.html and '
    + 'summary.svg anew from the results.jsonl of each directory, in place; with --out, all of '
    + 'them as one report there');
}

/** undefined when the bench is to measure. Throws UsageError beside options of a measurement. */
export function directoriesOf(command: Command): Rendered | undefined {
  const { render, out } = command.opts<{ render?: string[]; out: string }>();
  if (render === undefined) return undefined;
  const others = Object.keys(command.opts()).filter((key) => key !== 'render' && key !== 'out'
    && command.getOptionValueSource(key) === 'cli');
  if (others.length > 0) {
    throw new UsageError(`--render measures nothing: --${others.join(', --')} says nothing to it`);
  }
  return {
    directories: render, out: command.getOptionValueSource('out') === 'cli' ? out : undefined,
  };
}
