import type { Command } from 'commander';

import type { Finish } from './program.js';

export function addDemo(program: Command, finish: Finish): void {
  program.command('demo')
    .description('show two node proxies carrying real traffic, step by step, on loopback addresses')
    .option('--verbose', 'print the logs of the node proxies when a step fails')
    .action(async ({ verbose = false }: { verbose?: boolean }) => {
      // Not beside the other commands, which need nothing of it.
      const { runDemo } = await import('./demo/run.js');
      if (!await runDemo(verbose)) finish(1);
    });
}
