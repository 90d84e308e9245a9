import { describe, expect, it } from 'vitest';

import { overflowSlot, SlotAllocator } from '../../lib/telemetry/slots.js';

const cells = ['opened', 'closed', 'active'];

function setUp(slots: number, expiryMs = 1000) {
  const memory = new BigUint64Array(2 * slots * cells.length);
  let now = 5000;
  const allocator = new SlotAllocator({
    block: { read: () => memory, shards: 2, slots, cells }, expiryMs, now: () => now,
  });
  const add = (shard: number, slot: number, cell: string, amount: bigint): void => {
    const at = (shard * slots + slot) * cells.length + cells.indexOf(cell);
    memory[at] = (memory[at] ?? 0n) + amount;
  };
  return { allocator, add, pass: (ms: number) => (now += ms) };
}

const countsOf = (allocator: SlotAllocator, cell: string): Record<string, number> =>
  Object.fromEntries([...allocator.series()].map(({ labels, count }) => [labels['a'], count(cell)]));

describe('the slot allocator', () => {
  it('gives equal label sets one slot, others their own, none the overflow slot', () => {
    const { allocator } = setUp(8);
    const first = allocator.acquire({ a: '1' });
    expect(allocator.acquire({ a: '1' })).toBe(first);
    expect(allocator.acquire({ a: '2' })).not.toBe(first);
    expect(first).not.toBe(overflowSlot);
    expect(allocator.size).toBe(2);
  });

  it('sums the shards and reads a gauge that went below zero on one of them', () => {
    const { allocator, add } = setUp(8);
    const slot = allocator.acquire({ a: '1' });
    add(0, slot, 'opened', 3n);
    add(1, slot, 'opened', 4n);
    add(0, slot, 'active', 2n);
    add(1, slot, 'active', -1n);
    expect(countsOf(allocator, 'opened')).toEqual({ 1: 7 });
    expect(countsOf(allocator, 'active')).toEqual({ 1: 1 });
  });

  it('sends what has no room to the overflow slot, counted', () => {
    const { allocator, add } = setUp(3);
    allocator.acquire({ a: '1' });
    allocator.acquire({ a: '2' });
    expect(allocator.acquire({ a: '3' })).toBe(overflowSlot);
    expect(allocator.refused).toBe(1);
    add(0, overflowSlot, 'opened', 5n);
    expect(allocator.overflow()('opened')).toBe(5);
    allocator.release(overflowSlot);
  });

  it('expires a series only when unused, without live flows and unchanged for the time', () => {
    const { allocator, add, pass } = setUp(8);
    const slot = allocator.acquire({ a: '1' });
    add(0, slot, 'active', 1n);
    pass(5000);
    allocator.sweep();
    expect(allocator.size).toBe(1);
    allocator.release(slot);
    pass(5000);
    allocator.sweep();
    expect(allocator.size).toBe(1);
    add(0, slot, 'active', -1n);
    add(0, slot, 'closed', 1n);
    allocator.sweep();
    pass(999);
    allocator.sweep();
    expect(allocator.size).toBe(1);
    pass(1);
    allocator.sweep();
    expect(allocator.size).toBe(0);
    expect(allocator.expired).toBe(1);
  });

  it('starts a reused slot at zero', () => {
    const { allocator, add, pass } = setUp(2);
    const slot = allocator.acquire({ a: '1' });
    add(0, slot, 'opened', 9n);
    allocator.release(slot);
    allocator.sweep();
    pass(2000);
    expect(allocator.acquire({ a: '2' })).toBe(slot);
    expect(countsOf(allocator, 'opened')).toEqual({ 2: 0 });
    add(1, slot, 'opened', 1n);
    expect(countsOf(allocator, 'opened')).toEqual({ 2: 1 });
  });
});
