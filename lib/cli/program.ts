import { Command, CommanderError } from 'commander';

import { packageVersion } from '../index.js';
import { addBench } from './bench.js';
import { addCa } from './ca.js';
import { addCheck } from './check.js';
import { addDemo } from './demo.js';
import { addNode } from './node.js';
import { complain, exitCodeOf, tolerateClosedPipes, type ExitCode } from './output.js';

export type Finish = (code: ExitCode) => void;

function makeProgram(finish: Finish): Command {
  const program = new Command('onehop')
    .description('The ambient-mesh data plane: HBONE tunnels between workloads')
    .version(packageVersion, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .showSuggestionAfterError();
  addBench(program, finish);
  addCa(program);
  addCheck(program, finish);
  addDemo(program, finish);
  addNode(program);
  // Commands made by command() inherit exitOverride; this keeps their usage errors in our hands too.
  for (const command of program.commands) command.exitOverride();
  return program;
}

/** Runs one command; resolves to the exit code. */
export async function runCli(args: readonly string[]): Promise<ExitCode> {
  tolerateClosedPipes();
  let code: ExitCode = 0;
  const program = makeProgram((wanted) => (code = wanted));
  if (args.length === 0) {
    program.outputHelp({ error: true });
    return 2;
  }
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    // Commander has printed what it says; help and version are no failures.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    complain(error);
    return exitCodeOf(error);
  }
}
