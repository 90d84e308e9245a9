import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { packageRoot } from '../paths.js';

/** What bench/micro/addon.cc exports. */
export interface MicroAddon {
  prepare(name: string, size: number): object;
  /** Nanoseconds that `count` operations took. */
  run(prepared: object, count: number): number;
  /** Of the OpenSSL it is bound to. */
  versions(): string;
}

/** Why something cannot be measured here; the report says so in its place. */
export class Absent extends Error {}

const source = join(packageRoot, 'bench', 'micro');
const folder = join(packageRoot, 'build-micro');

function build(command: string, args: readonly string[]): void {
  const { status, error, stderr, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return;
  const why = error?.message ?? `${stdout}${stderr}`.trim().slice(-2_000);
  throw new Absent(`the native cases need ${command} and a C++20 compiler: ${why}`);
}

/** The path of the addon, built where it is not up to date. Throws Absent. */
export function buildMicroAddon(): string {
  if (!existsSync(join(source, 'CMakeLists.txt'))) {
    throw new Absent(`the sources of the native cases are not in ${source}`);
  }
  const include = join(dirname(dirname(process.execPath)), 'include', 'node');
  if (existsSync(join(include, 'node_api.h'))) {
    build('cmake', ['-S', source, '-B', folder, `-DNODE_INCLUDE=${include}`]);
    build('cmake', ['--build', folder, '--parallel']);
  } else {
    // It fetches the headers of the running Node.
    build('npx', ['--no-install', 'cmake-js', 'compile', '-d', source, '-O', folder]);
  }
  return join(folder, 'onehop_micro.node');
}

export function loadMicroAddon(): MicroAddon {
  const addon = createRequire(import.meta.url)(buildMicroAddon()) as MicroAddon;
  const running = addon.versions();
  if (running !== process.versions.openssl.split('+')[0]) {
    throw new Absent(`bound to OpenSSL ${running}, not to Node's ${process.versions.openssl}`);
  }
  return addon;
}
