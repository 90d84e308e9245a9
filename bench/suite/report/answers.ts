import type { Metric } from '../table.js';
import { answerOf, type Answer, type Tile } from './answer.js';
import { compare, metricOf, obstacleOf, spreadIn, type Claim, type Place } from './compare.js';
import type { Run } from './gather.js';
import { limitAnswer } from './limit.js';
import { doubleHopOf, nameInWords, nodeProxies, sceneOf, type SceneName } from './scenes.js';
import { intervalText, markWords, ratioNumber, valueText } from './words.js';

interface Comparison {
  readonly scene: SceneName;
  readonly metric: string;
  /** Who is asked about; `double hop` is the form that suits the load. */
  readonly subject: string;
  /** Beside whom: the first of these that allows a ratio. */
  readonly rivals: readonly string[];
  readonly isTile?: boolean;
}

const doubleHop = 'double hop';

const verbs: Readonly<Record<string, string>> = {
  rate: 'does', throughput: 'moves', cpuUsPerOperation: 'spends', cpuSecondsPerGb: 'spends',
  flowBytes: 'keeps',
};

/** `spends 15.2 µs/op`, `has a p99 of 770 µs`. */
function does(metric: Metric, value: string): string {
  const verb = verbs[metric.key];
  const unit = metric.unit === '/s' ? 'per second' : metric.unit;
  const what = verb === 'spends' ? ' of proxy CPU'
    : verb === 'keeps' ? ' per idle flow and hop' : '';
  return verb === undefined ? `has a ${metric.title} of ${value} ${unit}`
    : `${verb} ${value} ${unit}${what}`;
}

/** The ratio with what may be claimed from it. */
export function claimText({ ratio, why }: Claim): string {
  if (ratio === undefined) return `no ratio, for ${why}`;
  const interval = intervalText(ratio);
  return `${ratioNumber(ratio.ratio)} times${interval === '' ? '' : ` ${interval}`}, `
    + markWords[ratio.mark];
}

const systemFor = (name: string, place: Place): string =>
  name === doubleHop ? doubleHopOf(place) : name;

interface Said {
  readonly sentence: string;
  /** Whether it has a ratio. */
  readonly isClaim: boolean;
  readonly tile: Tile | undefined;
}

function say(run: Run, one: Comparison): Said | undefined {
  const place = sceneOf(run, one.scene);
  const metric = place === undefined ? undefined : metricOf(place.workload, one.metric);
  if (place === undefined || metric === undefined) return undefined;
  const claims = one.rivals.map((rival) => compare(run, place, metric,
    systemFor(one.subject, place), systemFor(rival, place)));
  const claim = claims.find(({ ratio }) => ratio !== undefined) ?? claims[0];
  if (claim === undefined) return undefined;
  const { subject, rival, ratio } = claim;
  const { title } = place.workload;
  const mine = spreadIn(place, subject, metric);
  const theirs = spreadIn(place, rival, metric);
  if (mine === undefined || theirs === undefined) {
    const why = obstacleOf(place, subject) || obstacleOf(place, rival);
    return { sentence: `${title}: this run cannot say; ${why}.`, isClaim: false, tile: undefined };
  }
  const value = valueText(mine, metric);
  const other = valueText(theirs, metric);
  const sentence = `${title}: ${nameInWords(subject)} (${subject}) ${does(metric, value)}, `
    + `${nameInWords(rival)} (${rival}) ${other}: ${claimText(claim)}.`;
  const isClaim = ratio !== undefined;
  if (one.isTile !== true || !isClaim) return { sentence, isClaim, tile: undefined };
  const caption = `${metric.title} of ${nameInWords(subject)} against ${nameInWords(rival)}: `
    + `${value} to ${other} ${metric.unit}; ${title}`;
  const big = `${ratioNumber(ratio.ratio)}×`;
  return { sentence, isClaim, tile: { big, caption, mark: ratio.mark } };
}

function answer(run: Run, question: string, comparisons: readonly Comparison[]): Answer {
  const found = comparisons.flatMap((one) => say(run, one) ?? []);
  // What can be claimed comes first.
  const sentences = [...found].sort((a, b) => Number(b.isClaim) - Number(a.isClaim))
    .map(({ sentence }) => sentence);
  return answerOf(question, found.flatMap(({ tile }) => tile ?? []), sentences.length > 0
    ? [...new Set(sentences)] : ['None of the loads that would tell is in this run.']);
}

const doubleHopComparisons: readonly Comparison[] = [
  { scene: 'http', metric: 'cpuUsPerOperation', subject: doubleHop, rivals: ['relay'],
    isTile: true },
  { scene: 'http', metric: 'rate', subject: doubleHop, rivals: ['direct', 'relay'], isTile: true },
  { scene: 'http', metric: 'p99Us', subject: doubleHop, rivals: ['direct', 'relay'], isTile: true },
  { scene: 'http-one', metric: 'p50Us', subject: doubleHop, rivals: ['direct', 'relay'] },
  { scene: 'bulk', metric: 'throughput', subject: doubleHop, rivals: ['relay'] },
  { scene: 'bulk', metric: 'cpuSecondsPerGb', subject: doubleHop, rivals: ['relay'] },
  { scene: 'ping', metric: 'cpuUsPerOperation', subject: doubleHop, rivals: ['relay'] },
  { scene: 'ping-one', metric: 'p50Us', subject: doubleHop, rivals: ['relay'] },
];

const nodeProxyComparisons: readonly Comparison[] = [
  { scene: 'http', metric: 'cpuUsPerOperation', subject: nodeProxies, rivals: [doubleHop],
    isTile: true },
  { scene: 'http', metric: 'cpuUsPerOperation', subject: nodeProxies, rivals: ['relay'],
    isTile: true },
  { scene: 'bulk', metric: 'cpuSecondsPerGb', subject: nodeProxies, rivals: ['relay'],
    isTile: true },
  { scene: 'ping-one', metric: 'p50Us', subject: nodeProxies, rivals: ['relay'], isTile: true },
  { scene: 'http', metric: 'rate', subject: nodeProxies, rivals: [doubleHop] },
  { scene: 'http', metric: 'p99Us', subject: nodeProxies, rivals: [doubleHop] },
  { scene: 'bulk', metric: 'throughput', subject: nodeProxies, rivals: ['relay'] },
  { scene: 'ping', metric: 'cpuUsPerOperation', subject: nodeProxies, rivals: ['relay'] },
  { scene: 'connect', metric: 'rate', subject: nodeProxies, rivals: ['relay'] },
  { scene: 'beside', metric: 'p99Us', subject: nodeProxies, rivals: ['envoy-connect'] },
  { scene: 'idle', metric: 'flowBytes', subject: nodeProxies, rivals: [doubleHop] },
];

/** The three questions that the bench is for. Nothing is claimed that the marks do not carry. */
export function answersOf(run: Run): Answer[] {
  return [
    answer(run, 'What does the double hop cost?', doubleHopComparisons),
    answer(run, 'What does the node-proxy path cost?', nodeProxyComparisons),
    limitAnswer(run),
  ];
}
