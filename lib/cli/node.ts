import { Option, type Command } from 'commander';

import {
  ConfigError, createNodeProxy, flagOf, helpOf, nodeOptions, nodeOptionsRequired, readConfig,
  type NodeProxy,
} from '../index.js';
import { usesColor } from './output.js';
import { startIsOver } from './small_start.js';

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

/**
 * SIGTERM and SIGINT drain, or give up starting; a second SIGINT ends at once; SIGHUP reads the mesh
 * file again.
 */
class Signals {
  readonly #starting = new AbortController();
  #proxy: NodeProxy | undefined;
  #interrupts = 0;

  constructor() {
    process.on('SIGTERM', () => this.#end());
    process.on('SIGINT', () => {
      this.#interrupts += 1;
      if (this.#interrupts > 1) process.exit(1);
      this.#end();
    });
    process.on('SIGHUP', () => void this.#proxy?.reload());
  }

  get starting(): AbortSignal {
    return this.#starting.signal;
  }

  follow(proxy: NodeProxy): void {
    this.#proxy = proxy;
    // One that came between the last look at it and now.
    if (this.starting.aborted) this.#end();
  }

  #end(): void {
    this.#starting.abort();
    void this.#proxy?.drain();
  }
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
  const signals = new Signals();
  try {
    const proxy = await createNodeProxy({
      ...values, logColor: usesColor(process.stdout), signal: signals.starting,
    });
    startIsOver();
    signals.follow(proxy);
    await proxy.ended;
  } catch (error) {
    if (!signals.starting.aborted) throw error;
  }
}

export function addNode(program: Command): void {
  const command = program.command('node')
    .description('run the node proxy for the workloads of one node of a mesh file')
    .action(runNode);
  addOptions(command);
}
