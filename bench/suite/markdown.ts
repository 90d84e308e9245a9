import { microTable } from './micro/table.js';
import type { ResultRecord, SetupRecord, SystemRecord } from './runner.js';
import type { Ratio } from './statistics.js';
import { comparisons, metricsOf, rowsOf, type Row, type RowMetric } from './table.js';

/** `34 %, 20 %; waited 12 %`: client, server, and what the client waited for a processor. */
export function generatorText({ clientShare, serverShare, clientWaitShare }: Row): string {
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  const shares = [clientShare, serverShare].filter(Number.isFinite).map(percent).join(', ');
  return Number.isFinite(clientWaitShare) ? `${shares}; waited ${percent(clientWaitShare)}` : shares;
}

/** Three significant digits, no exponent. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return digits > 0 ? value.toFixed(Math.min(digits, 4))
    : Math.round(Number(value.toPrecision(3))).toLocaleString('en');
}

function formatSpread({ metric: { scale }, spread: { median, least, most, count } }: RowMetric):
string {
  const of = (value: number): string => formatNumber(value / scale);
  return count === 1 ? of(median) : `${of(median)} (${of(least)}–${of(most)})`;
}

/** `**0.62** [0.60–0.65]` differs for certain, `0.98 [0.9–1.1] =` may not, `(0.97)` claims nothing. */
function formatRatio(ratio: Ratio | undefined): string {
  if (ratio === undefined) return '';
  const text = ratio.ratio.toFixed(2);
  if (ratio.interval === undefined) return `(${text})`;
  const interval = `[${ratio.interval.map((end) => end.toFixed(2)).join('–')}]`;
  return ratio.mark === 'differs' ? `**${text}** ${interval}` : `${text} ${interval} =`;
}

function remarksOf(row: Row): string {
  return [
    row.absent === '' ? '' : `absent: ${row.absent}`,
    row.error === '' ? '' : `failed: ${row.error}`,
    row.failures === 0 ? '' : `${row.failures} failures`,
    row.corrupt === 0 ? '' : `${row.corrupt} corrupt`,
    row.void === '' ? '' : `void: ${row.void}`,
  ].filter((text) => text !== '').join('; ').replace(/\s+/g, ' ').replaceAll('|', '\\|')
    .slice(0, 240);
}

function tableOf(rows: readonly Row[]): string[] {
  const [first] = rows;
  if (first === undefined) return [];
  const metrics = metricsOf[first.workload.kind];
  const columns = metrics.map((metric) => ({ metric, compared: comparisons.filter(({ name }) =>
    rows.some((row) => row.metrics.some((one) =>
      one.metric === metric && one.ratios[name] !== undefined))) }));
  const head = ['system'];
  for (const { metric: { title, unit }, compared } of columns) {
    head.push(unit === '' ? title : `${title}, ${unit}`,
      ...compared.map(({ name }) => `÷ ${name}`));
  }
  head.push('generator CPU', 'remarks');
  const lines = rows.map((row) => {
    const cells = [row.system];
    for (const { metric, compared } of columns) {
      const found = row.metrics.find((one) => one.metric === metric);
      cells.push(found === undefined ? '' : formatSpread(found),
        ...compared.map(({ name }) => formatRatio(found?.ratios[name])));
    }
    cells.push(generatorText(row), remarksOf(row));
    return `| ${cells.join(' | ')} |`;
  });
  return [`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...lines];
}

export const opensslOf = ({ openssl, vectorisedGcm = false }: SetupRecord): string =>
  `OpenSSL ${openssl}${vectorisedGcm ? ', AES-GCM vectorised' : ''}`;

export const ageText = ({ ageSeconds }: SetupRecord): string => ageSeconds === undefined ? ''
  : `, memory read ${ageSeconds} s or more after a system's start`;

function introduction(setup: SetupRecord): string[] {
  const pins = setup.pinning.near === '' ? 'not pinned'
    : `client and near proxy on processors ${setup.pinning.near}, far proxy and server on `
      + setup.pinning.far;
  const commit = setup.commit === '' ? '' : `, commit ${setup.commit}`;
  return [
    `${setup.date}: onehop ${setup.onehop}${commit}, Node ${setup.node} `
      + `(${opensslOf(setup)})`,
    '',
    `${setup.cpu}, ${setup.processors} processors, `
      + `${Math.round(setup.memoryBytes / 2 ** 30)} GiB; Linux ${setup.kernel}, `
      + `TCP ${setup.congestion} on every socket; ${pins}`,
    '',
    `${setup.rounds} rounds of ${setup.seconds} s after ${setup.warmupSeconds} s of warm-up, rivals `
      + `interleaved, order reversed each round${ageText(setup)}. A cell is the median `
      + '(least–most). Ratios are of the runs of one round, with their 95 % interval (Wilcoxon): '
      + '**bold** differs for certain, = may be equal, in parentheses: too few rounds to claim '
      + 'anything. Generator CPU is of its client and its server, one thread each; near 100 % the '
      + 'generator is the limit and the row is void; how long the client was ready and waited for a '
      + 'processor is in its latencies. "relay" is the faster of its two forms in that workload.',
  ];
}

function systemsTable(found: readonly SystemRecord[]): string[] {
  return [
    '| system | path | version |', '|---|---|---|',
    ...found.map(({ name, path, version, absent }) =>
      `| ${name} | ${path} | ${version ?? `absent: ${absent ?? ''}`} |`),
  ];
}

/** The whole report as Markdown. */
export function markdownOf(records: readonly ResultRecord[]): string {
  const setup = records.find((record) => record.kind === 'setup');
  const found = records.filter((record) => record.kind === 'system');
  const remarks = records.filter((record) => record.kind === 'remark');
  const rows = rowsOf(records);
  const micro = records.filter((record) => record.kind === 'micro');
  const lines = setup === undefined ? [] : introduction(setup);
  for (const layout of new Set(found.map((system) => system.layout))) {
    lines.push('', `## ${layout}`, '',
      ...systemsTable(found.filter((system) => system.layout === layout)));
    const here = rows.filter((row) => row.layout === layout);
    for (const workload of new Set(here.map((row) => row.workload))) {
      lines.push('', `### ${workload.title} (\`${workload.name}\`)`, '',
        ...tableOf(here.filter((row) => row.workload === workload)));
    }
  }
  for (const record of micro) {
    lines.push('', '## Parts by themselves', '', microTable(record).trimEnd());
  }
  if (remarks.length > 0) lines.push('', '## Remarks', '', ...remarks.map(({ text }) => `- ${text}`));
  return `${lines.join('\n')}\n`;
}
