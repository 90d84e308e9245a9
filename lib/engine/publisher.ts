import type { Verdict } from './contract.js';

export interface PublisherEvents {
  /** Hands verdicts to the engine; throws when one of them is unusable, and then applied none. */
  publish(verdicts: readonly Verdict[]): void;
  /** The engine cannot use this verdict, and denies its key with `internal` instead. */
  refused(verdict: Verdict, thrown: unknown): void;
}

/**
 * Publishes verdicts so that one the engine cannot use spoils no other: its own key is denied and
 * its live flows are closed. Never throws.
 */
export function publishEach(verdicts: readonly Verdict[], events: PublisherEvents): void {
  const [only] = verdicts;
  if (only === undefined) return;
  try {
    events.publish(verdicts);
  } catch (thrown) {
    if (verdicts.length > 1) {
      const half = verdicts.length >> 1;
      publishEach(verdicts.slice(0, half), events);
      publishEach(verdicts.slice(half), events);
      return;
    }
    events.refused(only, thrown);
    denyInstead(only, events);
  }
}

function denyInstead({ shard, key, generation }: Verdict, events: PublisherEvents): void {
  try {
    events.publish([{
      shard, key, generation, allow: false, reason: 'internal', status: 0, counters: 0,
      endpoints: [], responseHeaders: [], live: 'close',
    }]);
  } catch {
    // The engine does not know the key, or is stopped: there is nothing to close.
  }
}
