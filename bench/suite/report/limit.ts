import { formatNumber } from '../markdown.js';
import { median } from '../statistics.js';
import { answerOf, type Answer, type Tile } from './answer.js';
import { compare, formOf, headlineOf, placesOf, said, spreadIn, type Place } from './compare.js';
import type { Run } from './gather.js';
import { doubleHopOf, nameInWords, nodeProxies, sceneOf, type SceneName } from './scenes.js';
import { intervalText, markWords, ratioNumber, valueText } from './words.js';

/** From this share of the processors or threads on they are called the limit. */
const busyShare = 0.9;
const proxiesPerPath = 2;

/** The most that a system did under one kind of load, over all amounts of it. */
export interface Peak {
  readonly system: string;
  readonly place: Place;
  readonly value: string;
  /** Processors' worth of time. */
  readonly proxies: number;
  readonly generator: number;
  readonly limit: string;
}

/** The amounts of load beside this one: closed loop, all else equal. */
function siblingsOf(run: Run, place: Place): Place[] {
  const of = ({ workload, layout }: Place): string => {
    const { work, messageBytes, shards, policies, rate, halfOf } = said(workload);
    return JSON.stringify([layout, workload.kind, workload.group, work, messageBytes, shards,
      policies, rate, halfOf]);
  };
  return placesOf(run.rows).filter((other) => of(other) === of(place));
}

function limitOf(run: Run, place: Place, system: string): Pick<Peak, 'proxies' | 'generator'
  | 'limit'> {
  const measured = run.measured.flatMap((one) => one.layout === place.layout
    && one.workload === place.workload.name && one.system === system && one.measured !== undefined
    ? [one.measured] : []);
  const proxies = median(measured.map(({ proxyCpuSeconds = 0, seconds }) =>
    proxyCpuSeconds / seconds));
  const generator = median(measured.map(({ clientShare, serverShare }) =>
    clientShare + serverShare));
  const processors = run.setup?.processors ?? Infinity;
  const total = proxies + generator;
  const row = place.rows.find((one) => one.system === system);
  const busy = `${total.toFixed(1)} of ${processors} processors busy`;
  const limit = row?.void !== undefined && row.void !== ''
    ? `${row.void}: the true limit is higher`
    : total >= busyShare * processors ? `the machine: ${busy}`
      : proxies >= busyShare * proxiesPerPath ? 'the threads of the proxies'
        : `not processor time: ${busy} with it`;
  return { proxies, generator, limit };
}

function peakOf(run: Run, places: readonly Place[], system: string): Peak | undefined {
  const [first] = places;
  const metric = first === undefined ? undefined : headlineOf(first.workload);
  if (metric === undefined) return undefined;
  const best = places.flatMap((place) => {
    const spread = spreadIn(place, system, metric);
    return spread === undefined ? [] : [{ place, spread }];
  }).sort((a, b) => b.spread.median - a.spread.median)[0];
  return best === undefined ? undefined : {
    system, place: best.place, value: `${valueText(best.spread, metric)} ${metric.unit}`,
    ...limitOf(run, best.place, system),
  };
}

export interface Peaks {
  readonly title: string;
  readonly peaks: readonly Peak[];
}

const limitScenes: readonly (readonly [SceneName, string])[] = [
  ['http', 'HTTP requests'], ['bulk', 'Bulk upload'], ['ping', 'Ping-pong, 1 B'],
  ['connect', 'Connections'],
];

/** Peaks of every system that was measured, by kind of load. */
export function peaksOf(run: Run): Peaks[] {
  return limitScenes.flatMap(([scene, title]) => {
    const place = sceneOf(run, scene);
    if (place === undefined) return [];
    const places = siblingsOf(run, place);
    const systems = [...new Set(places.flatMap(({ rows }) =>
      rows.filter(({ metrics }) => metrics.length > 0).map(({ system }) => system)))];
    return [{ title, peaks: systems.flatMap((system) => peakOf(run, places, system) ?? []) }];
  });
}

function sentenceOf(run: Run, { title, peaks }: Peaks): string | undefined {
  const mine = peaks.find(({ system }) => system === nodeProxies);
  if (mine === undefined) return undefined;
  const { place } = mine;
  const metric = headlineOf(place.workload);
  const others = ['relay', doubleHopOf(place)].flatMap((name) => {
    const system = name === 'relay' ? formOf(run, place, name) : name;
    const peak = peaks.find((one) => one.system === system);
    if (peak === undefined || metric === undefined) return [];
    const { ratio } = compare(run, place, metric, nodeProxies, name);
    const beside = ratio === undefined ? ''
      : ` (on the same load ${ratioNumber(ratio.ratio)} times ${intervalText(ratio)}`.trimEnd()
        + `, ${markWords[ratio.mark]})`;
    return [`${nameInWords(system)} ${peak.value}${beside}`];
  });
  return `${title}: ${nameInWords(nodeProxies)} peaks at ${mine.value} `
    + `(${place.workload.title}); there the limit is ${mine.limit}.`
    + (others.length === 0 ? '' : ` Peaks beside it: ${others.join('; ')}.`);
}

function tileOf({ title, peaks }: Peaks): Tile[] {
  const mine = peaks.find(({ system }) => system === nodeProxies);
  return mine === undefined ? [] : [{
    big: mine.value,
    caption: `${title}, most that ${nameInWords(nodeProxies)} did: ${mine.place.workload.title}`,
  }];
}

export function limitAnswer(run: Run): Answer {
  const all = peaksOf(run);
  const sentences = all.flatMap((one) => sentenceOf(run, one) ?? []);
  return answerOf('Where is the limit?', all.flatMap(tileOf), sentences.length > 0 ? sentences
    : [`${nodeProxies} was not measured at its limit in this run.`]);
}

export const processorsText = (value: number): string =>
  Number.isFinite(value) ? formatNumber(value) : '';
