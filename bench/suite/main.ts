import { CommanderError, type Command } from 'commander';

import { catalogue, makeCommand, optionsLine, optionsOf, UsageError } from './options.js';
import { Progress } from './progress.js';
import { addRender, directoriesOf } from './report/command.js';
import { runOf } from './report/gather.js';
import { renderReports, writeReport } from './report/write.js';
import { Runner } from './runner.js';

const interruptedCode = 130;

async function render(directories: readonly string[], out: string | undefined): Promise<number> {
  const { files, missing } = await renderReports(directories, out);
  process.stdout.write(files.map((file) => `${file}\n`).join(''));
  if (missing !== '') process.stderr.write(`${missing}\n`);
  return 0;
}

async function run(args: readonly string[], command: Command): Promise<number> {
  command.parse([...args], { from: 'user' });
  const rendered = directoriesOf(command);
  if (rendered !== undefined) return render(rendered.directories, rendered.out);
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
  const { markdown, missing } = await writeReport(options.out, [runOf('', runner.records)]);
  process.stdout.write(markdown);
  if (missing !== '') process.stderr.write(`${missing}\n`);
  return 0;
}

/** Runs the bench; resolves to the exit code. 2: bad usage, after a list of what there is. */
export async function runBench(args: readonly string[], name = 'bench'): Promise<number> {
  const command = addRender(makeCommand(name)).exitOverride().allowExcessArguments(false);
  try {
    return await run(args, command);
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      // Commander has printed what was wrong.
      process.stderr.write(`${catalogue()}\n${optionsLine(command)}\n`);
      return 2;
    }
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

if (process.argv[1] === import.meta.filename) process.exit(await runBench(process.argv.slice(2)));
