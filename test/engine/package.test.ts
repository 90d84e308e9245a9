import { execFileSync } from 'node:child_process';
import {
  copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'onehop-package-'));
const modules = join(folder, 'node_modules');
const installed = join(modules, 'onehop');
let packed: string[] = [];

interface Manifest {
  exports: Record<string, string | Record<string, string>>;
  main: string;
  types: string;
  bin: Record<string, string>;
  scripts: Record<string, string>;
  version: string;
}
const read = (...path: string[]): string => readFileSync(join(...path), 'utf8');

// Packed and unpacked as npm does it, beside the prebuilt package and without a compiler's output.
beforeAll(() => {
  const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] } as const;
  const report = JSON.parse(execFileSync('npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], options)) as
    { filename: string; files: { path: string }[] }[];
  packed = report[0]?.files.map(({ path }) => path) ?? [];
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, report[0]?.filename ?? ''), '-C', installed,
    '--strip-components=1']);
  execFileSync(process.execPath, ['native/prebuilt.cjs', modules], options);
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.') && !existsSync(join(modules, name))) {
      symlinkSync(join(root, 'node_modules', name), join(modules, name));
    }
  }
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true }));

describe('the package', () => {
  it('holds what runs, what it is built from, and nothing else', () => {
    for (const needed of ['README.md', 'LICENSE', 'binding.gyp', 'native/sources.cjs',
      'bench/loadgen/main.cc',
      'dist/index.js', 'dist/index.d.ts', 'dist/cli/main.js', 'dist/engine/engine.js']) {
      expect(packed).toContain(needed);
    }
    for (const source of read(root, 'native', 'sources.txt').trim().split('\n')) {
      expect(packed).toContain(`native/${source}`);
    }
    const allowed = /^(dist|native|bench\/loadgen)\/|^bench\/setup$|^(README\.md|LICENSE|binding\.gyp|package\.json)$/;
    expect(packed.filter((path) => !allowed.test(path) || path.endsWith('.node'))).toEqual([]);
  });
  it('has no install script, and an executable command', () => {
    const { scripts, bin } = JSON.parse(read(installed, 'package.json')) as Manifest;
    expect(Object.keys(scripts).filter((name) => /install|prepare/.test(name))).toEqual([]);
    expect(read(installed, bin['onehop'] ?? '')).toMatch(/^#!\/usr\/bin\/env node\n/);
  });
  it('has every file that its manifest names, types first', () => {
    const { exports, main, types, bin } = JSON.parse(read(installed, 'package.json')) as Manifest;
    const entry = exports['.'] as Record<string, string>;
    expect(Object.keys(entry)[0]).toBe('types');
    const named = [...Object.values(entry), exports['./package.json'] as string, main, types,
      ...Object.values(bin)];
    expect(named.filter((path) => !existsSync(join(installed, path)))).toEqual([]);
  });
  it.each([
    ['nodenext', 'nodenext'], ['esnext', 'bundler'],
  ])('has types that a program compiles against, as %s and %s', (module, moduleResolution) => {
    copyFileSync(join(root, 'test/engine/support/consumer.mts'), join(folder, 'consumer.mts'));
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
      files: ['consumer.mts'],
      compilerOptions: {
        module, moduleResolution, target: 'es2022', lib: ['es2022', 'esnext.disposable'],
        strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true,
        types: ['node'],
      },
    }));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    expect(execFileSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' })).toBe('');
  }, 60_000);
  it('opens nothing and loads no native code when it is imported', () => {
    const code = `
      import dns from 'node:dns'; import net from 'node:net'; import dgram from 'node:dgram';
      const opened = [];
      for (const [of, name] of [[net.Socket.prototype, 'connect'], [net.Server.prototype, 'listen'],
        [dgram, 'createSocket'], [dns, 'lookup'], [dns.promises, 'lookup']]) {
        of[name] = () => { opened.push(name); throw new Error(name); };
      }
      const { Engine } = await import('onehop');
      const { sharedObjects } = process.report.getReport();
      const network = process.getActiveResourcesInfo().filter((name) => /TCP|UDP|Addr|DNS|Time/.test(name));
      console.log(typeof Engine.start, opened.length, network.length,
        sharedObjects.filter((path) => path.endsWith('onehop.node')).length);`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', code],
      { cwd: folder, encoding: 'utf8' });
    expect(output).toBe('function 0 0 0\n');
  });
  it('is run through the link that npm makes', () => {
    const { bin, version } = JSON.parse(read(installed, 'package.json')) as Manifest;
    mkdirSync(join(modules, '.bin'), { recursive: true });
    symlinkSync(join('..', 'onehop', bin['onehop'] ?? ''), join(modules, '.bin', 'onehop'));
    const args = [join(modules, '.bin', 'onehop'), '--version'];
    expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toBe(`${version}\n`);
  });
  it('has a lock that names no registry', () => {
    expect(read(root, 'package-lock.json')).not.toMatch(/"resolved"/);
  });
});

describe('the prebuilt package', () => {
  const evaluate = (code: string): string => {
    const loader = pathToFileURL(join(installed, 'dist', 'engine')).href;
    const body = `const { Engine } = await import('${loader}/engine.js'); ${code}`;
    return execFileSync(process.execPath, ['--input-type=module', '-e', body], {
      encoding: 'utf8', env: { ...process.env, ONEHOP_ADDON: '' },
    });
  };
  it('is what the loader falls back to', () => {
    expect(existsSync(join(installed, 'build'))).toBe(false);
    const code = 'const e = Engine.start(); e.stop(); console.log(e.options.shards)';
    expect(evaluate(code)).toBe('1\n');
  });
  it('is of the same version, and its absence names the fix', () => {
    const report = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
    const libc = report.header.glibcVersionRuntime === undefined ? 'musl' : 'gnu';
    const name = `@onehop/linux-${process.arch}-${libc}`;
    const { version } = JSON.parse(read(modules, name, 'package.json')) as Manifest;
    expect(version).toBe((JSON.parse(read(root, 'package.json')) as Manifest).version);
    rmSync(join(modules, name), { recursive: true });
    const output = evaluate('try { Engine.start() } catch (e) { console.log(e.code, e.message) }');
    expect(output).toContain('ERR_ONEHOP_LOAD');
    expect(output).toContain(`npm install ${name}`);
    expect(output).toContain(`cd ${installed} && npx node-gyp rebuild`);
  });
});
