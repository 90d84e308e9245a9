import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { markdownOf } from '../markdown.js';
import { gather, type Run } from './gather.js';
import { pageOf } from './page.js';
import { loadPlotter } from './plotter.js';
import { summarySvg } from './summary.js';

export interface Written {
  readonly markdown: string;
  /** What is missing and how it can be had; '' when nothing is. */
  readonly missing: string;
}

function markdownOfAll(runs: readonly Run[]): string {
  return runs.map(({ label, records }) => runs.length === 1 ? markdownOf(records)
    : `# ${label}\n\n${markdownOf(records)}`).join('\n');
}

/**
 * Writes `results.md`, `results.html` and, of the first run, `summary.svg` into a directory.
 * Without the plotting library the page has tables only and there is no `summary.svg`.
 */
export async function writeReport(out: string, runs: readonly Run[]): Promise<Written> {
  mkdirSync(out, { recursive: true });
  const markdown = markdownOfAll(runs);
  writeFileSync(join(out, 'results.md'), markdown);
  const plotter = await loadPlotter();
  writeFileSync(join(out, 'results.html'), pageOf(runs, plotter));
  const [first] = runs;
  const svg = first === undefined || plotter === undefined ? undefined : summarySvg(first, plotter);
  if (svg !== undefined) writeFileSync(join(out, 'summary.svg'), svg);
  return {
    markdown,
    missing: plotter !== undefined ? ''
      : 'results.html has no plots and there is no summary.svg, for echarts is not installed: '
        + `npm install echarts, then bench --render ${out}`,
  };
}

/**
 * Renders committed results without measuring: each directory in place, or with `out` all of them
 * as one report there. Throws UsageError when one of them has no results; nothing is written then.
 */
export async function renderReports(directories: readonly string[], out: string | undefined):
Promise<{ files: string[]; missing: string }> {
  const reports = out === undefined
    ? directories.map((directory) => ({ place: directory, runs: gather([directory]) }))
    : [{ place: out, runs: gather(directories) }];
  let missing = '';
  for (const { place, runs } of reports) ({ missing } = await writeReport(place, runs));
  return { files: reports.map(({ place }) => join(place, 'results.html')), missing };
}
