import { Option, type Command } from 'commander';

import {
  ConfigError, createNodeProxy, flagOf, helpOf, nodeOptions, nodeOptionsRequired, readConfig,
  type NodeProxy,
} from '../index.js';
import { usesColor } from './output.js';

function addOptions(command: Command): void {
  for (const [name, option] of Object.entries(nodeOptions)) {
    const flag = flagOf(name);
    if (option.argument === '') {
      command.addOption(new Option(flag, helpOf(option as never)));
      command.addOption(new Option(flag.replace('--', '--no-'), `not ${flag}`));
    } else {
      command.addOption(new Option(`${flag} <${option.argument}>`, helpOf(option as never)));
    }
  }
}

/** SIGTERM and SIGINT drain; a second SIGINT ends at once; SIGHUP reads the mesh file again. */
function followSignals(proxy: NodeProxy): void {
  let interrupts = 0;
  process.on('SIGTERM', () => void proxy.drain());
  process.on('SIGINT', () => {
    interrupts += 1;
    if (interrupts > 1) process.exit(1);
    void proxy.drain();
  });
  process.on('SIGHUP', () => void proxy.reload());
}

async function runNode(flags: Record<string, unknown>): Promise<void> {
  const { values } = readConfig(nodeOptions, flags, process.env);
  const missing = nodeOptionsRequired.filter((name) => values[name] === '');
  if (missing.length > 0) {
    throw new ConfigError(missing.map((name) => ({
      name: flagOf(name), value: '',
      message: `${flagOf(name)}: is missing; ${nodeOptions[name].doc} (or ${nodeOptions[name].env})`,
    })));
  }
  const proxy = await createNodeProxy({ ...values, logColor: usesColor(process.stdout) });
  followSignals(proxy);
  await proxy.ended;
}

export function addNode(program: Command): void {
  const command = program.command('node')
    .description('run the node proxy for the workloads of one node of a mesh file')
    .action(runNode);
  addOptions(command);
}
