import type { Command } from 'commander';

import { checkMesh } from '../index.js';
import { print } from './output.js';
import type { Finish } from './program.js';

export function addCheck(program: Command, finish: Finish): void {
  program.command('check')
    .description('validate a mesh file')
    .argument('<file>', 'mesh file in YAML or JSON')
    .action(async (file: string) => {
      const { ok, lines, workloads, services, policies } = await checkMesh(file);
      for (const line of lines) process.stderr.write(`${line}\n`);
      if (ok) print(`${file}: ${workloads} workloads, ${services} services, ${policies} policies`);
      else finish(2);
    });
}
