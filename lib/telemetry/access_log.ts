import { formatAddress, parseHostPort } from '../model/address.js';
import { getSystemErrorName } from 'node:util';

import type { Explanation, FlowParties } from '../model/decision.js';
import type { Workload } from '../model/resources.js';
import type { Log, LogFields } from './log.js';

/** What the engine tells about a flow that ended; see the seam's contract. */
export interface EndedFlow {
  readonly kind: string;
  readonly source: string;
  readonly destination: string;
  readonly authority: string;
  readonly peerIdentity: string;
  readonly dialled: string;
  readonly durationUs: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly traceId: string;
  readonly reason: string;
  readonly side: string;
  readonly code: number;
  readonly detail: string;
  readonly events: readonly { atUs: number; event: string; value: number }[];
}

/** What the decision about the flow knew. */
export interface FlowStory {
  readonly parties?: FlowParties | undefined;
  readonly explanation?: Explanation | undefined;
  /** Whether the decision was to refuse. */
  readonly denied?: boolean;
  /** What the tunnel was asked for; '' without one. */
  readonly authority?: string;
  /** The address the listener accepted on. */
  readonly local: string;
}

/** What one can do about it, by reason; the rest explains itself. */
const advice: Readonly<Record<string, string>> = {
  'dial-timeout': 'nothing answered there; a NetworkPolicy or firewall may block it',
  'dial-refused': 'nothing listens there',
  'dial-unreachable': 'no route to it',
  'tls-identity': 'the peer proved another identity than the workload should have',
  'no-credential': 'no valid certificate; see /config_dump for why',
  'no-endpoint': 'the service has no healthy endpoint',
  'upcall-timeout': 'the role did not decide in time; it may be overloaded',
  overload: 'one of the bounds was reached; see the metrics',
};

const rejection = 'connection closed due to policy rejection: ';
const clean = new Set(['complete', 'none']);
/** Events shown in full; a flow that fails tells its last ones. */
const eventsMax = 24;

/** `accepted@0 upcall@31 dial@90 dial-refused@300(111)`, microseconds since the accept. */
export function formatEvents(events: EndedFlow['events']): string {
  return events.slice(-eventsMax)
    .map(({ atUs, event, value }) => `${event}@${atUs}${value === 0 ? '' : `(${value})`}`)
    .join(' ');
}

/** Why a flow ended, in words; '' when it ended as flows should. */
export function errorOf(flow: EndedFlow, story: FlowStory): string {
  if (clean.has(flow.reason)) return '';
  const parts: string[] = [flow.reason];
  let hint: string | undefined;
  const text = story.explanation?.text ?? '';
  if (story.denied === true && text !== '') {
    parts[0] = flow.reason === 'policy-changed'
      ? `connection closed due to policy change: ${text.replace(rejection, '')}` : text;
  } else if (flow.reason === 'policy-changed') parts[0] = 'connection closed due to policy change';
  else hint = adviceFor(flow);
  if (flow.detail !== '') parts.push(flow.detail);
  if (hint !== undefined) parts.push(hint);
  return parts.join(': ');
}

function adviceFor({ reason, code }: EndedFlow): string | undefined {
  if (reason === 'connect-refused') return connectAdvice(code);
  const errno = reason === 'dial-failed' ? errnoName(code) : undefined;
  return advice[reason] ?? errno;
}

/** `EINVAL` of 22; undefined for what is no errno. */
function errnoName(code: number): string | undefined {
  try {
    return getSystemErrorName(-code);
  } catch {
    return undefined;
  }
}

function connectAdvice(status: number): string {
  if (status === 401) return 'the other side\'s policy denies it; its log names the policy';
  if (status === 400) return 'the other side does not serve this address';
  return `the other side answered ${status}; its log says why`;
}

function workloadFields(side: 'src' | 'dst', workload: Workload | undefined,
  identity: string): LogFields {
  return {
    [`${side}.workload`]: workload?.name || undefined,
    [`${side}.namespace`]: workload?.namespace || undefined,
    [`${side}.identity`]: identity || undefined,
    [`${side}.cluster`]: workload?.clusterId || undefined,
  };
}

const anyIp: ReadonlySet<string | undefined> = new Set(['0.0.0.0', '::']);

/**
 * Where the caller connected to. A listener on every address of a namespace knows its port only; the
 * address is then that of the application, as a tunnel asks for it.
 */
function arrivedAt(flow: EndedFlow, { local, parties }: FlowStory): string {
  if (flow.kind === 'plaintext' && flow.destination !== '') return flow.destination;
  const place = parseHostPort(local);
  if (place === undefined || !anyIp.has(place.ip)) return local;
  const ip = parseHostPort(flow.authority)?.ip ?? parties?.destination?.ips[0];
  return ip === undefined ? local : formatAddress(ip, place.port);
}

/** The fields of the peer's access log in its order, then ours. */
export function accessFields(flow: EndedFlow, story: FlowStory): LogFields {
  const { parties, explanation } = story;
  const inbound = flow.kind === 'hbone' || flow.kind === 'plaintext';
  const failed = !clean.has(flow.reason);
  const wanted = inbound ? flow.destination : flow.authority || flow.destination;
  const next = flow.dialled === '' ? wanted : flow.dialled;
  return {
    'src.addr': flow.source,
    ...workloadFields('src', parties?.source,
      parties?.sourcePrincipal || (inbound ? flow.peerIdentity : '')),
    'dst.addr': inbound ? arrivedAt(flow, story) : next,
    'dst.hbone_addr': (inbound ? flow.authority : story.authority) || undefined,
    'dst.service': parties?.service?.hostname || undefined,
    ...workloadFields('dst', parties?.destination, parties?.destinationPrincipal ?? ''),
    direction: inbound ? 'inbound' : 'outbound',
    // As the local workload sees it: what the caller sent is what an inbound workload received.
    bytes_sent: inbound ? flow.bytesDown : flow.bytesUp,
    bytes_recv: inbound ? flow.bytesUp : flow.bytesDown,
    duration: `${Math.round(flow.durationUs / 1000)}ms`,
    error: errorOf(flow, story) || undefined,
    reason: flow.reason,
    side: failed ? flow.side : undefined,
    code: flow.code === 0 ? undefined : flow.code,
    policy: explanation?.policy || undefined,
    trace_id: flow.traceId,
    events: failed ? formatEvents(flow.events) : undefined,
  };
}

const refused = new Set([
  'denied', 'recursion', 'unknown-local', 'unknown-destination', 'bad-request',
]);

/** One line per connection: at info when it ended well, at warn when refused, at error otherwise. */
export function logFlow(log: Log, flow: EndedFlow, story: FlowStory): void {
  const failed = !clean.has(flow.reason);
  const level = !failed ? 'info' : refused.has(flow.reason) ? 'warn' : 'error';
  if (!log.isEnabled(level)) return;
  const message = refused.has(flow.reason) ? 'connection failed' : 'connection complete';
  log.write(level, 'access', message, accessFields(flow, story));
}

/** A connection that failed before there was a flow on it. */
export function logNotice(log: Log, notice: {
  source: string; reason: string; code: number; detail: string;
}, local: string): void {
  if (!log.isEnabled('warn')) return;
  log.write('warn', 'access', 'connection failed', {
    'src.addr': notice.source, 'dst.addr': local, direction: 'inbound',
    error: [notice.reason, notice.detail].filter((part) => part !== '').join(': '),
    reason: notice.reason, code: notice.code === 0 ? undefined : notice.code,
  });
}
