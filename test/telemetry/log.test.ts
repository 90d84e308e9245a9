import { describe, expect, it } from 'vitest';

import { Log, type LogStream } from '../../lib/telemetry/log.js';
import { accessFields, errorOf, logFlow, logNotice, type EndedFlow } from '../../lib/telemetry/access_log.js';
import { serviceOf, workloadOf } from '../support/nouns.js';

class Lines implements LogStream {
  readonly lines: string[] = [];
  drop: () => void = () => undefined;
  write(line: string): void {
    this.lines.push(line);
  }
  on(event: string, listener: () => void): void {
    if (event === 'drop') this.drop = listener;
  }
}

const flow: EndedFlow = {
  kind: 'capture', source: '10.0.0.1:1234', destination: '10.1.0.1:80', authority: '10.0.0.2:8080',
  peerIdentity: '', dialled: '10.0.0.2:15008', durationUs: 2400, bytesUp: 10, bytesDown: 20,
  traceId: 'ab'.repeat(16), reason: 'complete', side: 'internal', code: 0, detail: '',
  events: [{ atUs: 0, event: 'accepted', value: 0 }, { atUs: 90, event: 'dial', value: 0 }],
};
const parties = {
  reporter: 'source', source: workloadOf('client', '10.0.0.1'),
  sourcePrincipal: 'spiffe://cluster.local/ns/demo/sa/client',
  destination: workloadOf('server', '10.0.0.2'),
  destinationPrincipal: 'spiffe://cluster.local/ns/demo/sa/server',
  service: serviceOf('echo', '10.1.0.1'), security: 'mutual_tls',
} as const;
const explain = (text: string, policy: string) => ({ text, policy, facts: [], dryRun: [] });

describe('the access log', () => {
  it('has the fields of the peer in its order', () => {
    const fields = accessFields(flow, {
      parties, authority: '10.0.0.2:8080', local: '10.0.0.1:15001',
    });
    const shown = Object.entries(fields).filter(([, value]) => value !== undefined);
    expect(shown.map(([name]) => name)).toEqual([
      'src.addr', 'src.workload', 'src.namespace', 'src.identity', 'src.cluster', 'dst.addr',
      'dst.hbone_addr', 'dst.service', 'dst.workload', 'dst.namespace', 'dst.identity',
      'dst.cluster', 'direction', 'bytes_sent', 'bytes_recv', 'duration', 'reason', 'trace_id',
    ]);
    expect(fields).toMatchObject({
      'dst.addr': '10.0.0.2:15008', direction: 'outbound', bytes_sent: 10, bytes_recv: 20,
      duration: '2ms',
    });
  });

  it('counts bytes from the view of the local workload', () => {
    const inbound = accessFields({ ...flow, kind: 'hbone' }, { parties, local: '10.0.0.2:15008' });
    expect(inbound).toMatchObject({
      direction: 'inbound', bytes_sent: 20, bytes_recv: 10, 'dst.addr': '10.0.0.2:15008',
    });
  });

  it.each([
    ['hbone', '0.0.0.0:15008', '10.0.0.2:8080', '10.0.0.2:15008'],
    ['hbone', '[::]:15008', '[2001:db8::2]:8080', '[2001:db8::2]:15008'],
    ['hbone', '[::]:15008', 'echo.demo:80', '10.0.0.2:15008'],
    ['hbone', '10.0.0.9:15008', '10.0.0.2:8080', '10.0.0.9:15008'],
    ['plaintext', '0.0.0.0:15006', '', '10.1.0.1:80'],
  ])('says where an inbound %s flow arrived on %s, asking for %j', (kind, local, authority, expected) => {
    const fields = accessFields({ ...flow, kind, authority }, { parties, local });
    expect(fields['dst.addr']).toBe(expected);
  });

  it('names the policy that denied, and the recorded events', () => {
    const denied = { ...flow, reason: 'denied', side: 'downstream', code: 401 };
    const text = 'connection closed due to policy rejection: explicitly denied by demo/no';
    const story = { parties, local: 'x', denied: true, explanation: explain(text, 'demo/no') };
    const fields = accessFields(denied, story);
    expect(fields['error']).toBe(
      'connection closed due to policy rejection: explicitly denied by demo/no');
    expect(fields['policy']).toBe('demo/no');
    expect(fields['events']).toBe('accepted@0 dial@90');
    expect(errorOf({ ...flow, reason: 'policy-changed' }, story)).toBe(
      'connection closed due to policy change: explicitly denied by demo/no');
  });

  it('says what to do about the failures people ask about', () => {
    expect(errorOf({ ...flow, reason: 'dial-timeout' }, { local: '' })).toContain('NetworkPolicy');
    expect(errorOf({ ...flow, reason: 'connect-refused', code: 401 }, { local: '' }))
      .toContain('policy');
    expect(errorOf(flow, { local: '' })).toBe('');
    expect(errorOf({ ...flow, reason: 'dial-failed', code: 22, detail: 'connect 192.0.2.1:80' },
      { local: '' })).toBe('dial-failed: connect 192.0.2.1:80: EINVAL');
  });

  it('adds no advice to a decision that says itself why', () => {
    const text = 'the service demo/echo has no port 81; it has 80';
    const story = { local: '', denied: true, explanation: explain(text, '') };
    expect(errorOf({ ...flow, reason: 'no-endpoint' }, story)).toBe(text);
  });

  it('shows the name that was asked for when nothing was dialled', () => {
    const asked = { ...flow, kind: 'socks5', dialled: '', destination: '0.0.0.0:80', authority: 'x:80' };
    expect(accessFields(asked, { local: '' })['dst.addr']).toBe('x:80');
  });
});

describe('the log', () => {
  it('writes JSON with time, level, scope and message first', () => {
    const to = new Lines();
    const log = new Log({ format: 'json', level: 'info', to });
    logFlow(log, flow, { parties, local: '' });
    const line = JSON.parse(to.lines[0] ?? '') as Record<string, unknown>;
    expect(Object.keys(line).slice(0, 3)).toEqual(['level', 'time', 'scope']);
    expect(line).toMatchObject({ level: 'info', scope: 'access', message: 'connection complete' });
    expect(line).not.toHaveProperty('error');
  });

  it('writes text with tabs, and keeps one line one line', () => {
    const to = new Lines();
    const log = new Log({ format: 'text', level: 'info', to });
    log.write('warn', 'mesh', 'two\nlines', { file: 'a\nb', line: 3 });
    expect(to.lines[0]).toMatch(/^\S+Z\twarn\tmesh\ttwo lines\tfile="a\\nb" line=3\n$/);
  });

  it('tells a notice with its reason', () => {
    const to = new Lines();
    const log = new Log({ format: 'json', level: 'info', to });
    logNotice(log, { source: '1.2.3.4:5', reason: 'tls-failed', code: 48, detail: 'unknown ca' }, 'l');
    expect(to.lines[0]).toContain('tls-failed: unknown ca');
  });

  it('changes its level while it runs', () => {
    const to = new Lines();
    const log = new Log({ format: 'json', level: 'info', to });
    log.write('debug', 'x', 'hidden');
    log.setLevel('debug');
    log.write('debug', 'x', 'shown');
    log.setLevel('off');
    log.write('error', 'x', 'hidden');
    log.resetLevel();
    log.write('info', 'x', 'again');
    expect(to.lines.map((line) => (JSON.parse(line) as { message: string }).message))
      .toEqual(['shown', 'again']);
  });

  it('counts what a slow reader made it drop', () => {
    const to = new Lines();
    const log = new Log({ format: 'json', level: 'info', to });
    to.drop();
    to.drop();
    expect(log.dropped).toBe(2);
  });
});
