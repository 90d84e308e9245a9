import type { AdminReply, Mount } from '../admin/server.js';
import type { FlowFacts, TunnelFacts } from '../engine/contract.js';
import type { FlowStory } from '../telemetry/access_log.js';
import { formatEvents } from '../telemetry/access_log.js';
import { logLevels, type Log, type LogLevel } from '../telemetry/log.js';
import type { Metrics } from '../telemetry/metrics.js';

export interface NodeSurfaces {
  metrics: Metrics;
  log: Log;
  dump(): object;
  flows(): Promise<FlowFacts[]>;
  tunnels(): Promise<TunnelFacts[]>;
  storyOf(flow: FlowFacts): FlowStory | undefined;
  quit(): void;
}

const json = (value: unknown): AdminReply => ({
  type: 'application/json', body: `${JSON.stringify(value, null, 2)}\n`,
});

/** One live flow as `/flows` shows it. */
function flowOf(flow: FlowFacts, story: FlowStory | undefined): object {
  const { events, ...facts } = flow;
  return {
    ...facts, events: formatEvents(events),
    sourceWorkload: story?.parties?.source?.uid ?? '',
    destinationWorkload: story?.parties?.destination?.uid ?? '',
    service: story?.parties?.service?.hostname ?? '',
    decided: story?.explanation?.text ?? '', policy: story?.explanation?.policy ?? '',
  };
}

/** Rows in one answer at most; the rest is told as a count. */
const rowsMax = 10_000;

function rows(name: string, all: readonly object[]): AdminReply {
  const left = all.length - rowsMax;
  return json({ [name]: all.slice(0, rowsMax), ...(left > 0 ? { leftOut: left } : {}) });
}

function logging(log: Log, query: URLSearchParams): AdminReply {
  const level = query.get('level');
  if (query.has('reset')) log.resetLevel();
  if (level !== null) {
    const known = logLevels.find((one) => one === level) satisfies LogLevel | undefined;
    if (known === undefined) {
      return { status: 400, body: `level ${JSON.stringify(level)} is none of ${logLevels.join(', ')}\n` };
    }
    log.setLevel(known);
  }
  return { body: `current log level is ${log.level}\n` };
}

export function statsMounts({ metrics }: NodeSurfaces): Mount[] {
  const handler = async (): Promise<AdminReply> =>
    ({ type: metrics.contentType, body: await metrics.text() });
  const doc = 'Prometheus text';
  return [
    { methods: ['GET', 'HEAD'], path: '/metrics', doc, handler },
    { methods: ['GET', 'HEAD'], path: '/stats/prometheus', doc, handler },
  ];
}

export function adminMounts(surfaces: NodeSurfaces): Mount[] {
  const { log } = surfaces;
  return [
    {
      methods: ['GET', 'POST'], path: '/config_dump', doc: 'what the mesh looks like from here',
      handler: () => json(surfaces.dump()),
    },
    {
      methods: ['GET'], path: '/flows', doc: 'live flows and how they were decided',
      handler: async () => rows('flows',
        (await surfaces.flows()).map((flow) => flowOf(flow, surfaces.storyOf(flow)))),
    },
    {
      methods: ['GET'], path: '/tunnels', doc: 'outbound tunnels',
      handler: async () => rows('tunnels', await surfaces.tunnels()),
    },
    {
      methods: ['POST'], path: '/logging', doc: '?level=LEVEL sets the log level, ?reset restores it',
      localOnly: true, handler: ({ query }) => logging(log, query),
    },
    {
      methods: ['POST'], path: '/quitquitquit', doc: 'drains and ends the process', localOnly: true,
      handler: () => {
        setImmediate(surfaces.quit);
        return { body: 'shutdown now\n' };
      },
    },
    ...statsMounts(surfaces),
  ];
}
