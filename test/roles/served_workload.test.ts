import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Handle } from '../../lib/engine/contract.js';
import type { Engine } from '../../lib/engine/engine.js';
import type { IdentityManager } from '../../lib/identity/manager.js';
import type { Workload } from '../../lib/model/resources.js';
import {
  ServedWorkload, type ListenerPlace, type ServedWorkloadOptions,
} from '../../lib/roles/served_workload.js';
import { Log } from '../../lib/telemetry/log.js';
import { workloadOf } from '../support/nouns.js';

/** A node with an engine that opens everything. */
class Node {
  readonly listening = new Map<Handle, string>();
  readonly places = new Map<Handle, ListenerPlace>();
  #last = 0;

  serve(workload: Workload): ServedWorkload {
    const engine = {
      listen: ({ address }: { address: string }) => {
        this.listening.set(++this.#last, address);
        return { handle: this.#last, address, transparent: false };
      },
      closeListener: (handle: Handle) => void this.listening.delete(handle),
    };
    const identities = { acquire: () => 1, handleOf: () => 1, release: () => undefined };
    const options: ServedWorkloadOptions = {
      engine: engine as unknown as Engine, identities: identities as unknown as IdentityManager,
      log: new Log({ format: 'text', level: 'error', to: { write: () => true } }),
      mark: 0, socks5: false, transparent: false, forwards: [], places: this.places,
    };
    return new ServedWorkload(workload, options);
  }
}

describe('a workload', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const netns = '/run/netns/pod';
  it.each<[string, Partial<Workload>, Partial<Workload>]>([
    ['an address', { ips: ['10.0.0.1'] }, { ips: ['10.0.0.1'] }],
    ['a namespace', { ips: ['10.0.0.1'], netns }, { ips: ['2001:db8::1'], netns }],
  ])('that would share %s with another is served when that one is gone', async (_, a, b) => {
    const node = new Node();
    const first = node.serve(workloadOf('first', '', a));
    const second = node.serve(workloadOf('second', '', b));
    await first.start();
    await second.start();
    expect([first.state, second.state]).toEqual(['up', 'failed']);
    expect(second.error).toContain(first.workload.uid);
    expect(new Set([...node.places.values()].map(({ workload }) => workload)))
      .toEqual(new Set([first.workload.uid]));
    first.stop(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(second.state).toBe('up');
    expect(node.listening.size).toBe(3);
    second.stop(true);
  });

  it('has its own address beside others, or the same one in another namespace', async () => {
    const node = new Node();
    const all = [
      workloadOf('a', '10.0.0.1'), workloadOf('b', '10.0.0.2'),
      workloadOf('c', '10.0.0.1', { netns }), workloadOf('d', '10.0.0.1', { netns: `${netns}-d` }),
    ].map((workload) => node.serve(workload));
    for (const served of all) await served.start();
    expect(all.map(({ state }) => state)).toEqual(['up', 'up', 'up', 'up']);
    for (const served of all) served.stop(true);
  });
});
