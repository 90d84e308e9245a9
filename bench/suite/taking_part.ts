import type { LayoutName } from './system.js';
import { systems } from './systems/index.js';
import type { Workload } from './workloads.js';

/** Whether the system is measured in the workload, where both are there. */
export function takesPart(name: string, workload: Workload, layout?: LayoutName): boolean {
  const system = systems.find((one) => one.name === name);
  if (system === undefined) return false;
  if (layout !== undefined && !(workload.layouts?.includes(layout) ?? true)) return false;
  // A system that is its own load can do nothing else.
  if (system.workloads !== undefined) return system.workloads.includes(workload.name);
  if (!(workload.systems?.includes(name) ?? true)) return false;
  return system.carries === 'bytes' || workload.carries === 'http';
}
