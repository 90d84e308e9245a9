import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import type { Command } from 'commander';

import { UsageError } from './output.js';
import type { Finish } from './program.js';

/** What `bench/` compiles to; built and shipped beside this, and known here by its name only. */
interface Bench {
  runBench(args: readonly string[], name: string): Promise<number>;
}

const place = new URL('../bench/main.js', import.meta.url);

async function runBench(args: readonly string[], finish: Finish): Promise<void> {
  if (!existsSync(place)) {
    throw new UsageError(`the bench is not in ${fileURLToPath(place)}; npm run build makes it`);
  }
  const bench = await import(place.href) as Bench;
  finish(await bench.runBench(args, 'onehop bench'));
}

export function addBench(program: Command, finish: Finish): void {
  program.command('bench')
    .description('measure what tunnels and their rivals cost; bench --help tells how')
    .argument('[options...]')
    // The bench reads its own options.
    .helpOption(false).allowUnknownOption()
    .action((args: string[]) => runBench(args, finish));
}
