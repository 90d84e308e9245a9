import type { Reading } from './metrics.js';

/** Name without `onehop_`, type, help; by the engine's own name of the cell. */
const cells: Readonly<Record<string, readonly [string, 'counter' | 'gauge', string]>> = {
  accepted: ['connections_accepted_total', 'counter', 'Connections accepted'],
  acceptPauses: ['accept_pauses_total', 'counter', 'Pauses of a listener out of descriptors or memory'],
  flowsActive: ['flows_active', 'gauge', 'Live flows'],
  flowsOpened: ['flows_opened_total', 'counter', 'Flows begun'],
  flowsClosed: ['flows_closed_total', 'counter', 'Flows ended'],
  cacheHits: ['flow_cache_hits_total', 'counter', 'Flows whose key was decided already'],
  cacheMisses: ['flow_cache_misses_total', 'counter', 'Flows whose key had to be asked about'],
  cacheEntries: ['flow_cache_entries', 'gauge', 'Flow keys held'],
  cacheEvictions: ['flow_cache_evictions_total', 'counter', 'Flow keys that made room for others'],
  upcallsSent: ['upcalls_total', 'counter', 'Questions about a flow key'],
  upcallTimeouts: ['upcall_timeouts_total', 'counter', 'Questions not answered in time'],
  tunnelsDialled: ['tunnels_dialled_total', 'counter', 'Outbound tunnels dialled'],
  tunnelsReused: ['tunnels_reused_total', 'counter', 'Flows that found an open tunnel'],
  tunnelsActive: ['tunnels_active', 'gauge', 'Outbound tunnels open'],
  tunnelDialFailures: ['tunnel_dial_failures_total', 'counter', 'Outbound tunnels that failed to open'],
  serverTunnelsActive: ['server_tunnels_active', 'gauge', 'Inbound tunnels open'],
  handshakesOk: ['handshakes_total', 'counter', 'TLS handshakes completed'],
  handshakesFailed: ['handshake_failures_total', 'counter', 'TLS handshakes failed'],
  handshakesActive: ['handshakes_active', 'gauge', 'TLS handshakes under way'],
  recordsOpened: ['records_opened_total', 'counter', 'TLS data records decrypted'],
  recordsSealed: ['records_sealed_total', 'counter', 'TLS data records encrypted'],
  bytesSealed: ['sealed_bytes_total', 'counter', 'Plaintext encrypted'],
  bytesOpened: ['opened_bytes_total', 'counter', 'Plaintext decrypted'],
  h2FloodCloses: ['h2_flood_closes_total', 'counter', 'Inbound tunnels ended by a flood defence'],
  loopPasses: ['loop_passes_total', 'counter', 'Passes of the event loops'],
  loopWakeups: ['loop_wakeups_total', 'counter', 'Times an event loop slept and woke'],
  buffersLent: ['buffers_lent_bytes', 'gauge', 'Buffers in use, bytes'],
  socketsOpen: ['sockets_open', 'gauge', 'Sockets of the engine'],
  summariesDropped: ['summaries_dropped_total', 'counter', 'Flow summaries lost to a full queue'],
  spliceBytes: ['splice_bytes_total', 'counter', 'Bytes moved without a copy'],
  keyUpdates: ['key_updates_total', 'counter', 'TLS key updates, both ways'],
};

/** The engine's own counters; `read` sums one cell over the shards. */
export function engineReadings(names: readonly string[],
  read: (cell: string) => number): Reading[] {
  return names.flatMap((cell) => {
    const row = cells[cell];
    if (row === undefined) return [];
    const [name, type, help] = row;
    return [{ name: `onehop_${name}`, type, help, read: () => read(cell) }];
  });
}
