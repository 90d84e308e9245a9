import { ageText, opensslOf } from '../markdown.js';
import { metricsOf, type Metric } from '../table.js';
import type { Answer } from './answer.js';
import { answersOf } from './answers.js';
import { barFigure } from './bars.js';
import { placesOf, type Place } from './compare.js';
import { commandOf, type Run } from './gather.js';
import { microFigure } from './micro_plot.js';
import type { Figure, Plotter } from './plotter.js';
import { pageStyle } from './style.js';
import { summaryFigure } from './summary.js';
import { familiesOf, familyTitle, sweepFigure } from './sweep.js';
import { microTable, peaksTable, rowsTable, systemsTable, targetsTable } from './tables.js';
import { markWords, notesOf } from './words.js';
import { html, Markup } from './xml.js';

/** Without a plotter, tables stand where the plots would. */
export type Pen = Plotter | undefined;

const slug = (...texts: readonly (string | number)[]): string =>
  texts.join('-').toLowerCase().replace(/[^a-z0-9]+/g, '-');

function draw(pen: Pen, figure: Figure | undefined, caption = ''): Markup {
  if (pen === undefined || figure === undefined) return html``;
  return html`<figure>${new Markup(pen(figure))}${caption === '' ? ''
    : html`<figcaption>${caption}</figcaption>`}</figure>`;
}

function machineOf({ setup, records }: Run): Markup {
  if (setup === undefined) {
    return html`<p class="warning">The results do not say where they were measured.</p>`;
  }
  const pins = setup.pinning.near === '' ? 'nothing is pinned'
    : `client and near proxy on processors ${setup.pinning.near}, far proxy and server on `
      + setup.pinning.far;
  const facts: readonly (readonly [string, string])[] = [
    ['date', setup.date],
    ['machine', `${setup.cpu}, ${setup.processors} processors, `
      + `${Math.round(setup.memoryBytes / 2 ** 30)} GiB; Linux ${setup.kernel}, `
      + `TCP ${setup.congestion}`],
    ['versions', `onehop ${setup.onehop}, Node ${setup.node}, ${opensslOf(setup)}`],
    ['commit', setup.commit === '' ? 'not known' : setup.commit],
    ['command', commandOf(records)],
    ['method', `${setup.rounds} rounds of ${setup.seconds} s after ${setup.warmupSeconds} s of `
      + `warm-up, rivals interleaved, order reversed each round${ageText(setup)}; ${pins}`],
  ];
  return html`<dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${
    name === 'command' ? html`<code>${value}</code>` : value}</dd>`)}</dl>`;
}

function listOf(texts: readonly string[], kind = 'plain'): Markup {
  return texts.length === 0 ? html``
    : html`<ul class="${kind}">${texts.map((text) => html`<li>${text}</li>`)}</ul>`;
}

function answerCard({ question, tiles, lead, more }: Answer): Markup {
  const shown = tiles.map(({ big, caption, mark }) => html`<div class="tile"><span class="big">${
    big}</span>${mark === undefined ? '' : html`<span class="mark ${mark}">${
    markWords[mark]}</span>`}<p>${caption}</p></div>`);
  return html`<section class="answer"><h2>${question}</h2>${
    shown.length === 0 ? '' : html`<div class="tiles">${shown}</div>`}${listOf(lead)}${
    more.length === 0 ? '' : html`<details><summary>${more.length} more</summary>${
      listOf(more)}</details>`}</section>`;
}

function metricsIn({ workload, rows }: Place): readonly Metric[] {
  return metricsOf[workload.kind].filter((metric) => rows.some(({ metrics }) =>
    metrics.some((one) => one.metric.key === metric.key)));
}

function placeSection(place: Place, pen: Pen): Markup {
  const { workload, rows } = place;
  const metrics = metricsIn(place);
  // Absent systems are in the plot, and why in full in the table of systems.
  const notes = rows.filter(({ absent }) => absent === '').flatMap((row) =>
    notesOf(row).map((note) => `${row.system}: ${note}`));
  const isDrawn = pen !== undefined && metrics.length > 0;
  return html`<h3>${workload.title} <code>${workload.name}</code></h3>${
    isDrawn ? draw(pen, barFigure(workload.title, metrics, rows)) : ''}${
    listOf(notes, 'notes')}${
    isDrawn ? html`<details><summary>all numbers</summary>${rowsTable(metrics, rows)}</details>`
      : rowsTable(metrics, rows)}`;
}

function groupSection(group: string, id: string, places: readonly Place[], pen: Pen): Markup {
  const sweeps = pen === undefined ? [] : familiesOf(places).flatMap((family) => {
    const title = familyTitle(family);
    const figure = sweepFigure(title, family);
    return figure === undefined ? [] : [html`<h3>${title}</h3>${draw(pen, figure,
      'Medians, whiskers from least to most; hollow points are of void rows.')}`];
  });
  return html`<section><h2 id="${id}">${group}</h2>${sweeps}${
    places.map((place) => placeSection(place, pen))}</section>`;
}

function microSection({ micro }: Run, id: string, pen: Pen): Markup {
  const groups = [...new Set(micro.rows.map(({ group }) => group))];
  return html`<section><h2 id="${id}">Micro-benches</h2><p class="soft">One operation of a part of
 the engine by itself: median, whiskers over the middle half of the samples.</p>${
    groups.map((group) => {
      const rows = micro.rows.filter((row) => row.group === group);
      const list = microTable(rows);
      return html`<h3>${group}</h3>${pen === undefined ? list
        : html`${draw(pen, microFigure(group, rows))}<details><summary>all numbers</summary>${
          list}</details>`}`;
    })}${micro.absent.map((why) => html`<p class="warning">Absent: ${why}</p>`)}</section>`;
}

interface Chapter {
  readonly id: string;
  readonly title: string;
  readonly body: Markup;
}

function chaptersOf(run: Run, index: number, pen: Pen): Chapter[] {
  const places = placesOf(run.rows);
  const layouts = [...new Set(places.map(({ layout }) => layout))];
  const chapters = layouts.flatMap((layout) => {
    const here = places.filter((place) => place.layout === layout);
    return [...new Set(here.map(({ workload }) => workload.group))].map((group) => {
      const id = slug('g', index, layout, group);
      const title = layouts.length > 1 ? `${group}, ${layout}` : group;
      return { id, title, body: groupSection(title, id,
        here.filter(({ workload }) => workload.group === group), pen) };
    });
  });
  const { micro } = run;
  if (micro.rows.length + micro.absent.length === 0) return chapters;
  const id = slug('g', index, 'micro');
  return [...chapters, { id, title: 'Micro-benches', body: microSection(run, id, pen) }];
}

const legend = 'Ratios are of the runs of one round, with their 95 % interval (Wilcoxon). Bold and '
  + 'coloured: the difference is established, green for better; “=”: no difference established; in '
  + 'parentheses: too few rounds to claim anything. Whiskers go from the least to the most round. '
  + 'Bars start at zero; where values are far apart the scale is logarithmic and shows dots. A '
  + 'hollow, dashed bar is of a void row: nothing may be claimed from it. “relay” is the faster of '
  + 'its two forms in that workload.';

function runSection(run: Run, index: number, pen: Pen, isOnly: boolean): Markup {
  const chapters = chaptersOf(run, index, pen);
  const targets = targetsTable(run);
  const peaks = peaksTable(run);
  const more = [
    ...peaks === undefined ? [] : [['limits', 'Limits'] as const],
    ...targets === undefined ? [] : [['targets', 'Targets'] as const],
    ...chapters.map(({ id, title }) => [id, title] as const),
    [`systems-${index}`, 'Systems'] as const,
  ].map(([id, title]) => [/^(?:limits|targets)$/.test(id) ? slug(id, index) : id, title] as const);
  return html`${isOnly ? '' : html`<h2 id="run-${index}">${run.label}</h2>`}${machineOf(run)}${
    listOf(run.remarks, 'notes')}
<div class="answers">${answersOf(run).map(answerCard)}</div>
${draw(pen, summaryFigure(run))}
<nav>${more.map(([id, title]) => html`<a href="#${id}">${title}</a>`)}</nav>
<p class="soft">${legend}</p>${
    peaks === undefined ? '' : html`<section><h2 id="${slug('limits', index)}">Limits</h2>
<p class="soft">The most that each system did over all amounts of one load, and what was in the way:
 processors' worth of time of its proxies and of the load generator.</p>
<details><summary>all systems</summary>${peaks}</details></section>`}${
    targets === undefined ? '' : html`<section><h2 id="${slug('targets', index)}">Targets</h2>
<p class="soft">“reached” and “missed” only where the whole interval says so.</p>
<details open="open"><summary>what the node-proxy path is to reach</summary>${
      targets}</details></section>`}${
    chapters.map(({ body }) => body)}
<section><h2 id="systems-${index}">Systems</h2>${systemsTable(run)}</section>`;
}

/** One HTML page, well-formed as XML too, that needs nothing but itself. */
export function pageOf(runs: readonly Run[], pen: Pen): string {
  const isOnly = runs.length === 1;
  const contents = isOnly ? '' : html`<nav>${runs.map(({ label }, index) =>
    html`<a href="#run-${index}">${label}</a>`)}</nav>`;
  const bare = pen !== undefined ? '' : html`<p class="warning">The plots are missing, for the
 package echarts is not installed; the numbers are all here.</p>`;
  const body = runs.map((run, index) => runSection(run, index, pen, isOnly));
  return html`${new Markup('<!DOCTYPE html>')}
<html lang="en"><head><meta charset="utf-8"/><title>onehop bench</title>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<style>${new Markup(pageStyle)}</style></head>
<body><main><h1>onehop bench: the node-proxy path beside the sidecar double hop</h1>
${bare}${contents}${body}</main></body></html>
`.text;
}
