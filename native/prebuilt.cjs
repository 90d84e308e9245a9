'use strict';
// Lays out the prebuilt package for this machine from build/Release/onehop.node:
//   node native/prebuilt.cjs FOLDER
// makes FOLDER/@onehop/linux-ARCH-LIBC with the stripped addon, ready for `npm publish`, and prints
// the oldest glibc it runs on. Releases name these packages, with the same exact version, in the
// optionalDependencies of the main one.
const { execFileSync } = require('node:child_process');
const { copyFileSync, mkdirSync, writeFileSync } = require('node:fs');
const { join, resolve } = require('node:path');

const root = join(__dirname, '..');
const folder = process.argv[2];
if (folder === undefined) {
  console.error('usage: node native/prebuilt.cjs FOLDER');
  process.exit(2);
}
const { name, version, license, engines } = require(join(root, 'package.json'));
const glibc = process.report.getReport().header.glibcVersionRuntime !== undefined;
const target = `linux-${process.arch}-${glibc ? 'gnu' : 'musl'}`;
const out = join(resolve(folder), `@${name}`, target);

mkdirSync(out, { recursive: true });
const addon = join(out, `${name}.node`);
copyFileSync(join(root, 'build', 'Release', `${name}.node`), addon);
execFileSync('strip', ['--strip-unneeded', addon]);
copyFileSync(join(root, 'LICENSE'), join(out, 'LICENSE'));
writeFileSync(join(out, 'package.json'), `${JSON.stringify({
  name: `@${name}/${target}`,
  version,
  description: `The native engine of ${name} for ${target}`,
  license,
  engines,
  os: ['linux'],
  cpu: [process.arch],
  libc: [glibc ? 'glibc' : 'musl'],
  main: `${name}.node`,
  files: [`${name}.node`],
}, null, 2)}\n`);

const symbols = execFileSync('objdump', ['-T', addon], { encoding: 'utf8' });
const floor = (prefix) => [...symbols.matchAll(new RegExp(`\\b${prefix}_(\\d+(?:\\.\\d+)*)`, 'g'))]
  .map(([, found]) => found)
  .sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1) ?? 'none';
console.log(`${out}: needs glibc ${floor('GLIBC')}, libstdc++ symbols ${floor('GLIBCXX')}`);
