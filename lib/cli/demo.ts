import type { Command } from 'commander';

import { Scene } from './demo/scene.js';
import { steps } from './demo/steps.js';
import { print, usesColor } from './output.js';
import type { Finish } from './program.js';

const paint = (code: number, text: string): string =>
  usesColor(process.stdout) ? `\u001b[${code}m${text}\u001b[0m` : text;

/** Resolves to whether every step held. */
async function runDemo(verbose: boolean): Promise<boolean> {
  const scene = await Scene.create();
  const interrupted = (): void => {
    scene.kill();
    process.exit(1);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    for (const [index, step] of steps.entries()) {
      print(`${index + 1}. ${step.title}`);
      await step.run(scene, { say: (text) => print(`   ${paint(32, '✓')} ${text}`) });
    }
    print(paint(32, 'every step held'));
    return true;
  } catch (error) {
    print(`   ${paint(31, '✗')} ${error instanceof Error ? error.message : String(error)}`);
    if (verbose) {
      for (const node of [scene.a, scene.b]) print(`--- log of ${node?.host ?? 'nobody'}\n${node?.log ?? ''}`);
    } else {
      print('   onehop demo --verbose shows the logs of the node proxies');
    }
    return false;
  } finally {
    await scene.close();
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

export function addDemo(program: Command, finish: Finish): void {
  program.command('demo')
    .description('show two node proxies carrying real traffic, step by step, on loopback addresses')
    .option('--verbose', 'print the logs of the node proxies when a step fails')
    .action(async ({ verbose = false }: { verbose?: boolean }) => {
      if (!await runDemo(verbose)) finish(1);
    });
}
