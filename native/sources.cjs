'use strict';
// Prints the native sources for binding.gyp, one a line, relative to the package root.
// With --write, rewrites sources.txt from the tracked files first.
const { execFileSync } = require('node:child_process');
const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const list = join(__dirname, 'sources.txt');
if (process.argv.includes('--write')) {
  const found = execFileSync('git', ['ls-files', '*.cc'], { cwd: __dirname, encoding: 'utf8' });
  writeFileSync(list, `${found.split('\n').filter((line) => line !== '').sort().join('\n')}\n`);
}
const lines = readFileSync(list, 'utf8').split('\n');
console.log(lines.filter((line) => line !== '').map((line) => `native/${line}`).join('\n'));
