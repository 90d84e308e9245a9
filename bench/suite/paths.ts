import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Where the package `onehop` is. */
export const packageRoot = dirname(createRequire(import.meta.url).resolve('onehop/package.json'));

/** Argv of its command line, under the Node that runs this. */
export const onehopArgv: readonly string[] = [
  process.execPath, join(packageRoot, 'dist/cli/main.js'),
];

/** Argv of a program that lies beside this file. */
export function siblingArgv(name: string): readonly string[] {
  return [process.execPath, join(import.meta.dirname, name)];
}
