import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { CommanderError } from 'commander';

import { markdownOf } from './markdown.js';
import { catalogue, makeCommand, optionsOf, UsageError } from './options.js';
import { Progress } from './progress.js';
import { Runner } from './runner.js';

const interruptedCode = 130;

async function run(args: readonly string[], name: string): Promise<number> {
  const command = makeCommand(name).exitOverride().allowExcessArguments(false);
  command.parse([...args], { from: 'user' });
  const options = optionsOf(command.opts());
  const runner = new Runner(options, (total) => new Progress(process.stderr, total));
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
    runner.interrupt();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  try {
    await runner.run();
  } catch (error) {
    if (interrupted) return interruptedCode;
    throw error;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, interrupt);
  }
  const markdown = markdownOf(runner.records);
  writeFileSync(join(options.out, 'results.md'), markdown);
  process.stdout.write(markdown);
  return 0;
}

/** Runs the bench; resolves to the exit code. 2: bad usage, after a list of what there is. */
export async function runBench(args: readonly string[], name = 'bench'): Promise<number> {
  try {
    return await run(args, name);
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      // Commander has printed what was wrong.
      process.stderr.write(`${catalogue()}\n`);
      return 2;
    }
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

if (process.argv[1] === import.meta.filename) process.exit(await runBench(process.argv.slice(2)));
