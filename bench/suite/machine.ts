import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

import { packageVersion } from 'onehop';

import { packageRoot } from './paths.js';

export interface Machine {
  readonly cpu: string;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly congestion: string;
  readonly node: string;
  readonly openssl: string;
  readonly onehop: string;
  /** Of the package's repository, with `+` when files differ from it; '' outside of one. */
  readonly commit: string;
  readonly date: string;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

function git(...args: string[]): string {
  const { status, stdout } = spawnSync('git', ['-C', packageRoot, ...args], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : '';
}

function commit(): string {
  const head = git('rev-parse', '--short=12', 'HEAD');
  return head === '' ? '' : head + (git('status', '--porcelain', '-uno') === '' ? '' : '+');
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown', processors: availableParallelism(),
    memoryBytes: totalmem(), kernel: release(),
    congestion: textOf('/proc/sys/net/ipv4/tcp_congestion_control'), node: process.version,
    openssl: process.versions.openssl, onehop: packageVersion, commit: commit(),
    date: new Date().toISOString(),
  };
}
