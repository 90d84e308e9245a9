'use strict';
// Prints the native sources for binding.gyp, one a line, relative to the package root.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const lines = readFileSync(join(__dirname, 'sources.txt'), 'utf8').split('\n');
console.log(lines.filter((line) => line !== '').map((line) => `native/${line}`).join('\n'));
