import { describe, expect, it } from 'vitest';

import type { FlowParties } from '../../lib/model/decision.js';
import { engineCells, counterCells } from '../../lib/engine/contract.js';
import { engineReadings } from '../../lib/telemetry/engine_metrics.js';
import { tcpLabels } from '../../lib/telemetry/labels.js';
import { Metrics } from '../../lib/telemetry/metrics.js';
import { SlotAllocator } from '../../lib/telemetry/slots.js';
import { serviceOf, workloadOf } from '../support/nouns.js';

const parties: FlowParties = {
  reporter: 'source', source: workloadOf('client', '10.0.0.1'),
  sourcePrincipal: 'spiffe://cluster.local/ns/demo/sa/client',
  destination: workloadOf('server', '10.0.0.2'),
  destinationPrincipal: 'spiffe://cluster.local/ns/demo/sa/server',
  service: serviceOf('echo', '10.1.0.1'), security: 'mutual_tls',
};

describe('labels', () => {
  it('are the names of the peer, with unknown for what is missing', () => {
    expect(tcpLabels(parties)).toMatchObject({
      reporter: 'source', source_workload: 'client', source_workload_namespace: 'demo',
      source_principal: 'spiffe://cluster.local/ns/demo/sa/client', source_cluster: 'cluster1',
      destination_service: 'echo.demo.svc.cluster.local', destination_service_name: 'echo',
      destination_workload: 'server', request_protocol: 'tcp',
      connection_security_policy: 'mutual_tls',
    });
    const bare = tcpLabels({
      reporter: 'destination', sourcePrincipal: '', destinationPrincipal: '', security: 'unknown',
    });
    expect(bare['source_workload']).toBe('unknown');
    expect(bare['destination_service']).toBe('unknown');
    expect(bare).not.toHaveProperty('source_region');
  });

  it('carry the locality when one of the two has one', () => {
    const locality = { region: 'north', zone: 'n1', subzone: '' };
    const labels = tcpLabels({ ...parties, source: workloadOf('client', '10.0.0.1', { locality }) });
    expect(labels).toMatchObject({ source_region: 'north', destination_zone: 'unknown' });
  });
});

describe('the scrape', () => {
  const slots = 16;
  const memory = new BigUint64Array(slots * counterCells.length);
  const allocator = new SlotAllocator({
    block: { read: () => memory, shards: 1, slots, cells: counterCells }, expiryMs: 1000,
  });

  it('shows the four families with the flags of how flows closed', async () => {
    const metrics = new Metrics(allocator);
    const row = allocator.acquire(tcpLabels(parties)) * counterCells.length;
    counterCells.forEach((name, i) => {
      if (!name.startsWith('reserved')) memory[row + i] = BigInt(i + 1);
      // All that closed, of which most failed.
      if (name === 'closed') memory[row + i] = 100n;
    });
    const text = await metrics.text();
    const line = (name: string, flags: string): string | undefined => text.split('\n').find((l) =>
      l.startsWith(`${name}{`) && l.includes(`response_flags="${flags}"`));
    expect(line('istio_tcp_connections_opened_total', '-')).toMatch(/ 1$/);
    expect(line('istio_tcp_received_bytes_total', '-')).toMatch(/ 2$/);
    expect(line('istio_tcp_sent_bytes_total', '-')).toMatch(/ 3$/);
    expect(line('istio_tcp_connections_closed_total', '-')).toMatch(/ 55$/);
    expect(line('istio_tcp_connections_closed_total', 'DENY')).toMatch(/ 5$/);
    expect(line('istio_tcp_connections_closed_total', 'IDENTITY_ERROR')).toMatch(/ 10$/);
    expect(line('istio_tcp_connections_failed_total', 'CONNECT')).toMatch(/ 6$/);
    expect(line('istio_tcp_connections_opened_total', '-')).toContain('source_app="client"');
    expect(text).toContain('# TYPE istio_tcp_connections_opened_total counter');
  });

  it('never lets a counter fall, though its cells are read while they count', async () => {
    const metrics = new Metrics(allocator);
    const labels = tcpLabels({ ...parties, source: workloadOf('racing', '10.0.0.8') });
    const row = allocator.acquire(labels) * counterCells.length;
    const closedWell = async (): Promise<string | undefined> => (await metrics.text()).split('\n')
      .find((line) => line.startsWith('istio_tcp_connections_closed_total')
        && line.includes('source_workload="racing"') && line.includes('flags="-"'))?.split(' ').at(-1);
    memory[row + counterCells.indexOf('closed')] = 7n;
    expect(await closedWell()).toBe('7');
    memory[row + counterCells.indexOf('closedDenied')] = 1n;
    expect(await closedWell()).toBe('7');
    memory[row + counterCells.indexOf('closed')] = 9n;
    expect(await closedWell()).toBe('8');
  });

  it('writes the labels in the order of the peer', async () => {
    const metrics = new Metrics(allocator);
    const locality = { region: 'north', zone: 'n1', subzone: '' };
    const source = workloadOf('far', '10.0.0.7', { locality });
    allocator.acquire(tcpLabels({ ...parties, source }));
    const text = await metrics.text();
    const sample = text.split('\n').find((line) => line.includes('source_workload="far"')) ?? '';
    expect([...sample.matchAll(/(\w+)="/g)].map(([, name]) => name)).toEqual([
      'reporter', 'source_workload', 'source_canonical_service', 'source_canonical_revision',
      'source_workload_namespace', 'source_principal', 'source_app', 'source_version',
      'source_cluster', 'destination_service', 'destination_service_namespace',
      'destination_service_name', 'destination_workload', 'destination_canonical_service',
      'destination_canonical_revision', 'destination_workload_namespace', 'destination_principal',
      'destination_app', 'destination_version', 'destination_cluster', 'request_protocol',
      'response_flags', 'connection_security_policy', 'source_region', 'source_zone',
      'destination_region', 'destination_zone',
    ]);
    expect(sample).toContain('request_protocol="tcp",response_flags="-",connection_security_policy=');
  });

  it('escapes what peers may put into names', async () => {
    const metrics = new Metrics(allocator);
    allocator.acquire(tcpLabels({
      ...parties, source: workloadOf('evil"\\\n', '10.0.0.9'),
    }));
    const text = await metrics.text();
    expect(text).toContain('source_app="evil\\"\\\\\\n"');
  });

  it('names every cell of the engine that is not reserved', async () => {
    const metrics = new Metrics(allocator);
    const readings = engineReadings(engineCells, (cell) => engineCells.indexOf(cell as never));
    expect(readings.length).toBe(engineCells.filter((cell) => cell !== 'reserved').length);
    metrics.add(readings);
    const text = await metrics.text();
    expect(text).toMatch(/^onehop_accept_pauses_total 1$/m);
    expect(text).toMatch(/^onehop_flows_active 2$/m);
    expect(text).toMatch(/^onehop_tunnels_active 13$/m);
    // Counters are read anew, not added up.
    expect(await metrics.text()).toMatch(/^onehop_accept_pauses_total 1$/m);
  });

  it('scrapes thousands of series', async () => {
    const many = 4096;
    const block = new BigUint64Array(many * counterCells.length).fill(7n);
    const all = new SlotAllocator({
      block: { read: () => block, shards: 1, slots: many, cells: counterCells }, expiryMs: 1000,
    });
    for (let i = 1; i < many; i++) {
      all.acquire(tcpLabels({ ...parties, source: workloadOf(`w${i}`, '10.0.0.1') }));
    }
    block.fill(8n);
    const metrics = new Metrics(all);
    await metrics.text();
    const text = await metrics.text();
    expect(text.split('\n').length).toBeGreaterThan(4 * (many - 1));
  });
});
