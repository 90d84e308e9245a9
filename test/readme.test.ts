import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import ts from 'typescript';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What the examples take from their surroundings. */
const given = 'declare const chainPem: string, keyPem: string, rootsPem: string;\n';

/** The complaints of the compiler about a module inside this package, so that it can import it by name. */
function complaints(source: string): string[] {
  const folder = mkdtempSync(join(root, 'build', 'readme-'));
  try {
    const file = join(folder, 'example.mts');
    writeFileSync(file, `${source}\nexport {};\n`);
    const program = ts.createProgram([file], {
      module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
      target: ts.ScriptTarget.ES2022, lib: ['lib.es2022.d.ts', 'lib.esnext.disposable.d.ts'],
      types: ['node'], strict: true, noEmit: true, skipLibCheck: true,
    });
    return ts.getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const examples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, text = '']) => text);

it('has examples that the compiler takes', () => {
  expect(examples.length).toBeGreaterThan(0);
  for (const example of examples) expect(complaints(given + example)).toEqual([]);
}, 60_000);

it('would show an example that is out of date', () => {
  const [example = ''] = examples;
  const wrong = example.replace('endpoint: {', 'target: {');
  expect(wrong).not.toBe(example);
  expect(complaints(given + wrong).join()).toContain('target');
}, 60_000);
