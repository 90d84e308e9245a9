import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

import { packageVersion } from 'onehop';

import { packageRoot } from './paths.js';

export interface Machine {
  /** Its name, and where known its family and model: generations share a name. */
  readonly cpu: string;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly congestion: string;
  readonly node: string;
  readonly openssl: string;
  /** Whether that OpenSSL has a vectorised AES-GCM for this processor; older results lack it. */
  readonly vectorisedGcm?: boolean;
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

/** What OpenSSL asks of a processor before it takes that AES-GCM. */
const gcmFlags = ['avx512f', 'avx512dq', 'avx512bw', 'avx512vl', 'vaes', 'vpclmulqdq'];

/** Whether an OpenSSL of that version takes its vectorised AES-GCM, by `/proc/cpuinfo`. */
export function hasVectorisedGcm(openssl: string, cpuinfo: string): boolean {
  const [major = 0, minor = 0] = openssl.split('.').map(Number);
  if (major < 3 || (major === 3 && minor < 1)) return false;
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.split(' ') ?? [];
  return gcmFlags.every((flag) => flags.includes(flag));
}

/** `AMD EPYC (family 26, model 2)`; the name alone where `/proc/cpuinfo` has no such lines. */
export function processorName(name: string, cpuinfo: string): string {
  const numbers = [['family', 'cpu family'], ['model', 'model']].flatMap(([said, key]) => {
    const value = new RegExp(`^${key}\\s*:\\s*(\\d+)$`, 'm').exec(cpuinfo)?.[1];
    return value === undefined ? [] : [`${said} ${value}`];
  });
  return numbers.length === 0 ? name : `${name} (${numbers.join(', ')})`;
}

export function describeMachine(): Machine {
  const cpuinfo = textOf('/proc/cpuinfo');
  return {
    cpu: processorName(cpus()[0]?.model.trim() ?? 'unknown', cpuinfo),
    processors: availableParallelism(),
    memoryBytes: totalmem(), kernel: release(),
    congestion: textOf('/proc/sys/net/ipv4/tcp_congestion_control'), node: process.version,
    openssl: process.versions.openssl,
    vectorisedGcm: hasVectorisedGcm(process.versions.openssl, cpuinfo),
    onehop: packageVersion, commit: commit(), date: new Date().toISOString(),
  };
}
