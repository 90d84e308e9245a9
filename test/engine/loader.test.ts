import { readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, describe, expect, it, vi } from 'vitest';

import {
  closeReasons, contractVersion, counterCells, endpointProtocols, engineCells, flowEvents,
  listenerKinds, sides, summaryNumbers, summaryTexts,
} from '../../lib/engine/contract.js';
import { codeOf } from '../../lib/engine/error.js';
import {
  contractProblem, currentHost, isSupported, loadAddon, opensslProblem, prebuiltPackage,
} from '../../lib/engine/loader.js';
import { engineDefaults } from '../../lib/engine/options.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const host = {
  platform: 'linux', arch: 'x64', libc: 'gnu', node: 'v20.0.0', openssl: '3.0.1',
} as const;

function failure(act: () => unknown): { code: string; message: string } {
  try {
    act();
  } catch (thrown) {
    return thrown as { code: string; message: string };
  }
  throw new Error('did not throw');
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the contract', () => {
  it('is the same on both sides of the seam', () => {
    expect(contractProblem(loadAddon().contract())).toBe('');
  });
  it('names the first difference', () => {
    const same = {
      version: contractVersion, listenerKinds: listenerKinds.join(), sides: sides.join(),
      endpointProtocols: endpointProtocols.join(), closeReasons: closeReasons.join(),
      flowEvents: flowEvents.join(), counterCells: counterCells.join(),
      engineCells: engineCells.join(),
      summaryNumbers: summaryNumbers.join(), summaryTexts: summaryTexts.join(),
    };
    expect(contractProblem(same)).toBe('');
    expect(contractProblem({ ...same, version: 0 })).toContain('version 0');
    expect(contractProblem({ ...same, sides: 'internal' })).toContain("'sides'");
  });
  it('has the same defaults on both sides', () => {
    const text = readFileSync(join(root, 'native/engine/contract.h'), 'utf8');
    const body = /struct EngineOptions \{([^}]*)\}/.exec(text)?.[1] ?? '';
    const found = [...body.matchAll(/^ {2}uint\d+_t (\w+) = ([^;]+);/gm)].map(([, name, value]) => {
      const [base = '0', shift = '0'] = (value ?? '').replace(/'|u?ll/g, '').split('<<');
      return [name, Number(base) * 2 ** Number(shift)];
    });
    const { congestion, ...numbers } = engineDefaults;
    expect(congestion).toBe('');
    expect(Object.fromEntries(found)).toEqual(numbers);
  });
});

describe('the loader', () => {
  it('loads the built addon, bound to the OpenSSL of Node', () => {
    const versions = loadAddon().versions();
    expect(versions['openssl']).toBe(process.versions.openssl?.split('+')[0]);
    expect(versions['mismatch']).toBe('');
  });
  it('refuses other platforms and architectures by name', () => {
    expect(isSupported({ ...host, platform: 'darwin', libc: '' })).toBe(false);
    expect(isSupported({ ...host, arch: 'ia32' })).toBe(false);
    expect(isSupported({ ...host, arch: 'arm64' })).toBe(true);
    const { code, message } = failure(() => loadAddon({ ...host, platform: 'darwin', libc: '' }));
    expect(code).toBe('ERR_ONEHOP_LOAD');
    expect(message).toContain('darwin x64');
  });
  it('names the package of each libc', () => {
    expect(prebuiltPackage(host)).toBe('@onehop/linux-x64-gnu');
    expect(prebuiltPackage({ ...host, arch: 'arm64', libc: 'musl' }))
      .toBe('@onehop/linux-arm64-musl');
    expect(currentHost().libc).not.toBe('');
  });
  it('tells the host, every path tried, the real error and one fix', () => {
    const folder = mkdtempSync(join(tmpdir(), 'onehop-loader-'));
    const broken = join(folder, 'onehop.node');
    try {
      writeFileSync(broken, 'no shared object');
      vi.stubEnv('ONEHOP_ADDON', broken);
      const { code, message } = failure(() => loadAddon());
      expect(code).toBe('ERR_ONEHOP_LOAD');
      const linker = /file too short|invalid ELF/;
      for (const part of [process.arch, process.version, broken, linker, 'Fix:']) {
        expect(message).toMatch(part);
      }
      rmSync(broken);
      expect(failure(() => loadAddon()).message).toContain(`${broken}: not found`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
  it('refuses an OpenSSL that does not fit, and a second one', () => {
    const fits = { openssl: '3.0.19', opensslBuilt: '3.0.2', mismatch: '' };
    expect(opensslProblem(fits, '3.0.19')).toBe('');
    expect(opensslProblem(fits, '3.0.19+quic')).toBe('');
    const newer = { ...fits, mismatch: 'built for 3.5' };
    expect(opensslProblem(newer, '3.0.19')).toContain('built for 3.5');
    expect(opensslProblem(fits, '3.0.18')).toContain('second');
  });
});

describe('error codes', () => {
  it('are spelled from the reason', () => {
    expect(codeOf('h2-flood')).toBe('ERR_ONEHOP_H2_FLOOD');
  });
});
