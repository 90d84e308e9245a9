import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { messageOf } from '../base/error.js';
import {
  closeReasons, contractVersion, counterCells, endpointProtocols, engineCells, flowEvents,
  listenerKinds, sides, summaryNumbers, summaryTexts,
} from './contract.js';
import type { NativeAddon } from './contract.js';
import { EngineError } from './error.js';

/** What decides which binary fits. */
export interface Host {
  platform: string;
  arch: string;
  /** '' when not Linux. */
  libc: 'gnu' | 'musl' | '';
  node: string;
  openssl: string;
}

const architectures = ['x64', 'arm64'];
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const require = createRequire(import.meta.url);

function libcOf(): Host['libc'] {
  if (process.platform !== 'linux') return '';
  // The interpreter this very process runs on; files on disk only say what is installed.
  const reporter = process.report as { excludeNetwork?: boolean; getReport: () => object };
  const before = reporter.excludeNetwork;
  if (before !== undefined) reporter.excludeNetwork = true;  // else it looks up host names
  const report = reporter.getReport() as { header?: { glibcVersionRuntime?: string } };
  if (before !== undefined) reporter.excludeNetwork = before;
  return report.header?.glibcVersionRuntime === undefined ? 'musl' : 'gnu';
}

export function currentHost(): Host {
  return {
    platform: process.platform, arch: process.arch,
    // A report takes Node some 10 ms, and only names of packages and messages need it.
    get libc() { return libcOf(); },
    node: process.version, openssl: process.versions.openssl ?? '',
  };
}

/** Whether the engine can run here at all; says nothing about a binary being there. */
export function isSupported(host: Host = currentHost()): boolean {
  return host.platform === 'linux' && architectures.includes(host.arch);
}

export function prebuiltPackage(host: Host): string {
  return `@onehop/${host.platform}-${host.arch}-${host.libc}`;
}

function describe(host: Host): string {
  const libc = host.libc === '' ? '' : `, ${host.libc === 'gnu' ? 'glibc' : 'musl'}`;
  return `${host.platform} ${host.arch}${libc}, Node ${host.node}, OpenSSL ${host.openssl}`;
}

interface Attempt {
  path: string;
  problem: string;
}

function fixFor(host: Host, attempts: readonly Attempt[]): string {
  const chosen = process.env['ONEHOP_ADDON'] ?? '';
  if (chosen !== '') return 'ONEHOP_ADDON names the addon; unset it, or let it name one that loads';
  const build = `cd ${root} && npx node-gyp rebuild (needs g++ 12 or later, make and Python)`;
  if (attempts.some(({ problem }) => problem !== 'not found')) {
    return `build it for this Node: ${build}`;
  }
  return `npm install ${prebuiltPackage(host)} (not with --omit=optional); or, where that is not `
    + `to be had, ${build}`;
}

/** Node's OpenSSL must be the one the addon bound to, and an API generation it was built for. */
export function opensslProblem(versions: Record<string, string>, nodeOpenssl: string): string {
  const running = versions['openssl'] ?? '';
  if (versions['mismatch'] !== '') return `OpenSSL does not fit: ${versions['mismatch'] ?? running}`;
  // Node appends its own suffix, such as +quic.
  if (running !== nodeOpenssl.split('+')[0]) {
    return `bound to OpenSSL ${running}, a second one beside Node's own ${nodeOpenssl}`;
  }
  return '';
}

const tables: Record<string, readonly string[]> = {
  listenerKinds, endpointProtocols, closeReasons, sides, flowEvents, counterCells, engineCells,
  summaryNumbers, summaryTexts,
};

/** '' when the addon speaks our contract, else the first difference. */
export function contractProblem(native: Record<string, string | number>): string {
  if (native['version'] !== contractVersion) {
    return `contract version ${String(native['version'])}, this package has ${contractVersion}`;
  }
  for (const [name, words] of Object.entries(tables)) {
    if (native[name] !== words.join(',')) return `contract table '${name}' differs`;
  }
  return '';
}

function load(path: string): NativeAddon {
  return require(path) as NativeAddon;
}

function* candidates(host: Host): Generator<string> {
  const chosen = process.env['ONEHOP_ADDON'];
  if (chosen !== undefined && chosen !== '') return yield chosen;
  yield join(root, 'build', 'Release', 'onehop.node');
  yield prebuiltPackage(host);
}

function resolved(path: string): string {
  if (path.startsWith('/')) return existsSync(path) ? path : '';
  try {
    return require.resolve(path);
  } catch {
    return '';
  }
}

/** Loads the addon: `ONEHOP_ADDON` alone when set, else a local build, else the package. */
export function loadAddon(host: Host = currentHost()): NativeAddon {
  if (!isSupported(host)) {
    throw new EngineError('ERR_ONEHOP_LOAD', 'the onehop engine runs on Linux x64 and arm64; ' +
      `this is ${describe(host)}`);
  }
  const attempts: Attempt[] = [];
  for (const path of candidates(host)) {
    const file = resolved(path);
    if (file === '') {
      attempts.push({ path, problem: 'not found' });
      continue;
    }
    try {
      const addon = load(file);
      const mismatch = contractProblem(addon.contract());
      if (mismatch !== '') {
        throw new EngineError('ERR_ONEHOP_CONTRACT', `${file}: ${mismatch}. Fix: ` +
          'build or install the addon of the same version as this package');
      }
      const openssl = opensslProblem(addon.versions(), host.openssl);
      if (openssl === '') return addon;
      attempts.push({ path: file, problem: openssl });
    } catch (thrown) {
      if (thrown instanceof EngineError) throw thrown;
      attempts.push({ path: file, problem: messageOf(thrown) });
    }
  }
  const tried = attempts.map(({ path, problem }) => `  ${path}: ${problem}`).join('\n');
  throw new EngineError('ERR_ONEHOP_LOAD', 'the native engine of onehop does not load\n' +
    `on ${describe(host)}; tried:\n${tried}\nFix: ${fixFor(host, attempts)}`);
}
