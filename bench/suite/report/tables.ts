import { generatorText } from '../markdown.js';
import type { MicroRow } from '../micro/sample.js';
import type { Metric, Row } from '../table.js';
import { comparedIn } from './compare.js';
import type { Run } from './gather.js';
import { peaksOf, processorsText } from './limit.js';
import { targetsOf, type TargetResult } from './targets.js';
import { intervalText, metricText, notesOf, ratioNumber, ratioText, spreadText,
  verdictOf } from './words.js';
import { html, type Markup } from './xml.js';

const head = (names: readonly string[], numbers = false): Markup =>
  html`<tr>${names.map((name, index) =>
    html`<th${numbers && index > 0 ? html` class="number"` : ''}>${name}</th>`)}</tr>`;

const table = (first: Markup, rows: readonly Markup[]): Markup =>
  html`<div class="scroll"><table><thead>${first}</thead><tbody>${rows}</tbody></table></div>`;

function ratioCell(row: Row, metric: Metric, name: string): Markup {
  const ratio = row.metrics.find((one) => one.metric.key === metric.key)?.ratios[name];
  if (ratio === undefined) return html`<td class="number"></td>`;
  const text = html`<span class="${verdictOf(ratio, metric)}">${ratioText(ratio)}</span>`;
  return html`<td class="number">${text} ${intervalText(ratio)}</td>`;
}

/** All numbers of one workload. */
export function rowsTable(metrics: readonly Metric[], rows: readonly Row[]): Markup {
  const columns = metrics.map((metric) => {
    const has = (name: string): boolean => rows.some((row) => row.metrics.some((one) =>
      one.metric.key === metric.key && one.ratios[name] !== undefined));
    return { metric, compared: comparedIn(rows).filter(has) };
  });
  const names = ['system', ...columns.flatMap(({ metric, compared }) =>
    [metricText(metric), ...compared.map((name) => `÷ ${name}`)]),
  'generator CPU: client, server', 'remarks'];
  return table(head(names, true), rows.map((row) => html`<tr><td>${row.system}</td>${
    columns.map(({ metric, compared }) => {
      const found = row.metrics.find((one) => one.metric.key === metric.key);
      return html`<td class="number">${found === undefined ? ''
        : spreadText(found.spread, metric)}</td>${
        compared.map((name) => ratioCell(row, metric, name))}`;
    })}<td class="number">${generatorText(row)}</td><td class="warning">${
    notesOf(row).join('; ')}</td></tr>`));
}

/** Who did how much at most, and what was in the way. */
export function peaksTable(run: Run): Markup | undefined {
  const all = peaksOf(run);
  if (all.length === 0) return undefined;
  return table(head(['load', 'system', 'most', 'in', 'processors: proxies', 'generator',
    'what was in the way']), all.flatMap(({ title, peaks }) => peaks.map((peak, index) =>
    html`<tr><td>${index === 0 ? title : ''}</td><td>${peak.system}</td><td class="number">${
      peak.value}</td><td>${peak.place.workload.title}</td><td class="number">${
      processorsText(peak.proxies)}</td><td class="number">${
      processorsText(peak.generator)}</td><td>${peak.limit}</td></tr>`)));
}

function measuredText({ measured }: TargetResult): string {
  if (typeof measured === 'string') return measured;
  return `${ratioNumber(measured.ratio)}× ${intervalText(measured)}`.trimEnd();
}

const classOf = ({ reached }: TargetResult): string => reached === 'not known' ? 'none' : reached;

/** What this project wants to reach, beside what it did. */
export function targetsTable(run: Run): Markup | undefined {
  const results = targetsOf(run);
  if (results.length === 0) return undefined;
  const layouts = new Set(results.map(({ layout }) => layout));
  return table(head([...layouts.size > 1 ? ['layout'] : [], 'workload', 'what', 'ratio', 'target',
    'measured', '']), results.map((result) => html`<tr>${
    layouts.size > 1 ? html`<td>${result.layout}</td>` : ''}<td>${result.workload}</td><td>${
    result.metric}</td><td>${result.what}</td><td>${result.bound}</td><td class="number">${
    measuredText(result)}</td><td><span class="mark ${classOf(result)}">${
    result.reached}</span> ${result.why}</td></tr>`));
}

/** Who took part, with versions, and who could not. */
export function systemsTable(run: Run): Markup {
  return table(head(['layout', 'system', 'path', 'version']), run.systems.map((system) =>
    html`<tr><td>${system.layout}</td><td>${system.name}</td><td>${system.path}</td>${
      system.absent === undefined ? html`<td>${system.version ?? ''}</td>`
        : html`<td class="warning">absent: ${system.absent}</td>`}</tr>`));
}

export function microTable(rows: readonly MicroRow[]): Markup {
  const names = ['operation', 'median, ns', 'first quartile', 'third quartile', 'samples'];
  return table(head(names, true), rows.map(({ name, median, low, high, samples }) => html`<tr><td>${
    name}</td>${[median, low, high].map((value) =>
    html`<td class="number">${value.toPrecision(3)}</td>`)}<td class="number">${
    samples}</td></tr>`));
}
