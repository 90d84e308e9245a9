import { Command, InvalidArgumentError } from 'commander';

import { describeMachine } from '../machine.js';
import { runMicro } from './index.js';
import { microTable } from './table.js';

interface Flags { seconds: number; samples: number; only?: string[]; json?: boolean }

function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`a number from ${least} to ${most} would be right.`);
  };
}

const command = new Command('bench:micro')
  .description('Measure parts of the engine by themselves; medians and quartiles of one operation.')
  .option('--seconds <S>', 'how long each case is measured', number(0.001, 600), 0.5)
  .option('--samples <N>', 'least number of samples of a case', number(4, 1_000_000), 64)
  .option('--only <TEXTS>', 'cases that hold one of these texts, with commas between',
    (text: string, before: string[] = []) => [...before, ...text.split(',')])
  .option('--json', 'a JSON object instead of a table')
  .allowExcessArguments(false)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse();

const { seconds, samples, only, json } = command.opts<Flags>();
const machine = describeMachine();
const report = await runMicro({
  seconds, samplesMin: Math.ceil(samples), ...(only === undefined ? {} : { only }),
  progress: ({ group, name }) => process.stderr.write(`${group}: ${name}\n`),
});
if (report.rows.length === 0 && report.absent.length === 0) {
  process.stderr.write(`bench:micro: --only ${only?.join() ?? ''} names no case\n`);
  process.exit(2);
}
if (json === true) {
  process.stdout.write(`${JSON.stringify({ machine, ...report })}\n`);
} else {
  process.stdout.write(`${machine.cpu}, ${machine.processors} processors, Node ${machine.node}, `
    + `OpenSSL ${machine.openssl}, onehop ${machine.commit || machine.onehop}\n\n`
    + microTable(report));
}
