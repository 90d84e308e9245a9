import { readdirSync } from 'node:fs';

import { engineCells } from '../engine/contract.js';
import type { Engine, EngineTotals } from '../engine/engine.js';
import { engineReadings } from '../telemetry/engine_metrics.js';
import type { Log } from '../telemetry/log.js';
import type { Metrics, Reading } from '../telemetry/metrics.js';
import type { ServedState } from './served_workload.js';

export interface NodeMetricsParts {
  engine: Engine;
  log: Log;
  version: string;
  generation(): number;
  meshErrors(): number;
  /** Whether the mesh file on disk is refused, so that an older state of it holds. */
  meshRefused(): boolean;
  flowKeys(): number;
  served(state: ServedState): number;
  /** Seconds since the epoch when the first certificate in use expires; 0 without any. */
  firstExpiry(): number;
}

function openDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

function processReadings(): Reading[] {
  return [
    {
      name: 'process_open_fds', type: 'gauge', help: 'Open file descriptors', read: openDescriptors,
    },
    {
      name: 'process_resident_memory_bytes', type: 'gauge', help: 'Resident memory',
      read: () => process.memoryUsage.rss(),
    },
    {
      name: 'process_cpu_seconds_total', type: 'counter', help: 'Processor time used', read: cpuSeconds,
    },
  ];
}

/** The node proxy's metrics beside those of its traffic. */
export function addNodeMetrics(metrics: Metrics, parts: NodeMetricsParts): void {
  const { engine } = parts;
  let totals: EngineTotals | undefined;
  const read = (cell: string): number => {
    // One reading of the block serves a whole scrape.
    if (totals === undefined) {
      totals = engine.engineCounters();
      setImmediate(() => (totals = undefined));
    }
    return totals[cell as keyof EngineTotals];
  };
  const states = ['up', 'pending', 'failed'] as const;
  metrics.add([
    ...engineReadings(engineCells, read),
    ...states.map((state): Reading => ({
      name: 'onehop_workloads', type: 'gauge', help: 'Workloads of this node by state',
      labels: { state }, read: () => parts.served(state),
    })),
    {
      name: 'onehop_generation', type: 'gauge', help: 'Changes of the mesh applied',
      read: () => parts.generation(),
    },
    {
      name: 'onehop_mesh_errors_total', type: 'counter', help: 'Mesh files refused',
      read: () => parts.meshErrors(),
    },
    {
      name: 'onehop_mesh_refused', type: 'gauge',
      help: '1 while the mesh file on disk is refused and what it said before holds',
      read: () => Number(parts.meshRefused()),
    },
    {
      name: 'onehop_flow_keys', type: 'gauge', help: 'Flow keys that are decided again after a change',
      read: () => parts.flowKeys(),
    },
    {
      name: 'onehop_log_lines_dropped_total', type: 'counter', help: 'Log lines that nobody read in time',
      read: () => parts.log.dropped,
    },
    {
      name: 'onehop_certificate_expiry_seconds', type: 'gauge',
      help: 'When the first certificate in use expires, in seconds since the epoch',
      read: () => parts.firstExpiry(),
    },
    {
      name: 'onehop_build', type: 'gauge', help: 'The version that runs',
      labels: { version: parts.version }, read: () => 1,
    },
    ...processReadings(),
  ]);
}
