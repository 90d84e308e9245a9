'use strict';
// Prints "total failed skipped" of one report. A missing report counts as one failure.
const { readFileSync } = require('node:fs');

function count(kind, text) {
  if (kind === 'vitest') {
    const report = JSON.parse(text);
    const omitted = report.numPendingTests + (report.numTodoTests ?? 0);
    return [report.numTotalTests, report.numFailedTests, omitted];
  }
  const head = /<testsuite\b[^>]*>/.exec(text)[0];
  const field = (name) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  return [field('tests'), field('failures'), field('skipped') + field('disabled')];
}

try {
  console.log(count(process.argv[2], readFileSync(process.argv[3], 'utf8')).join(' '));
} catch (error) {
  console.error(String(error));
  console.log('1 1 0');
}
