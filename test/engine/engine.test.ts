import { fstatSync, openSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import type { EngineOptions, Upcall } from '../../lib/engine/contract.js';
import { Engine } from '../../lib/engine/engine.js';
import type { EngineHandlers } from '../../lib/engine/engine.js';
import type { EngineError } from '../../lib/engine/error.js';
import { failing, fakeAddon } from './support/fake_addon.js';

const upcall: Upcall = {
  shard: 0, key: 7, listener: 5, kind: 'hbone', sourceIp: '10.0.0.1', destination: '10.0.0.2:80',
  local: '10.0.0.2:15008', authority: '10.0.0.2:80', peerIdentity: '', forwardedHost: '',
  forwardedNetwork: '',
};

function started(handlers: EngineHandlers = {}) {
  const addon = fakeAddon();
  const errors: EngineError[] = [];
  const engine = Engine.start({}, { failed: (error) => errors.push(error), ...handlers }, addon);
  const last = (name: string): unknown => addon.calls.filter(([call]) => call === name).at(-1)?.[1];
  return { addon, engine, errors, last };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('options', () => {
  it('fill in defaults and refuse what is out of bounds', () => {
    const addon = fakeAddon();
    const engine = Engine.start({ shards: 2 }, {}, addon);
    expect(engine.options).toMatchObject({ shards: 2, flowCacheMax: 65_536 });
    const misspelt = { shard: 2 } as Partial<EngineOptions>;
    for (const bad of [{ shards: 0 }, { shards: 1.5 }, { flowCacheMax: 2 ** 30 }, misspelt]) {
      expect(() => Engine.start(bad, {}, addon)).toThrow(
        expect.objectContaining({ code: 'ERR_ONEHOP_ARGUMENT' }));
    }
  });
});

describe('decide', () => {
  it('answers all keys of a batch in one call', () => {
    const { addon } = started({ decide: () => ({ allow: false }) });
    addon.emit({ upcalls: [upcall, { ...upcall, key: 8 }] });
    expect(addon.answered).toHaveLength(1);
    expect(addon.answered[0]).toMatchObject([
      { key: 7, allow: false, reason: 'denied', status: 401, live: 'close', generation: 1 },
      { key: 8, allow: false },
    ]);
  });
  it('batches answers that arrive later in the same tick', async () => {
    const { addon } = started({
      decide: () => Promise.resolve({
        allow: true, endpoints: [{ protocol: 'tcp', dial: '10.0.0.9:80' }],
      }),
    });
    addon.emit({ upcalls: [upcall, { ...upcall, key: 8 }] });
    await settled();
    expect(addon.answered).toHaveLength(1);
    expect(addon.answered[0]?.[1]).toMatchObject({
      key: 8, allow: true, reason: 'none', live: 'keep',
      endpoints: [{ protocol: 'tcp', dial: '10.0.0.9:80', weight: 1, peers: [] }],
    });
  });
  it('denies with internal when it throws or rejects, and reports', async () => {
    let count = 0;
    const { addon, errors } = started({
      decide: () => {
        count += 1;
        if (count === 1) throw new Error('boom');
        return Promise.reject(new Error('later boom'));
      },
    });
    addon.emit({ upcalls: [upcall, { ...upcall, key: 8 }] });
    await settled();
    expect(addon.answered.flat()).toMatchObject([
      { key: 7, allow: false, reason: 'internal', status: 503 },
      { key: 8, allow: false, reason: 'internal' },
    ]);
    expect(errors.map(({ code }) => code)).toEqual(['ERR_ONEHOP_INTERNAL', 'ERR_ONEHOP_INTERNAL']);
  });
  it('denies the one key whose verdict the engine cannot use', () => {
    const { addon, errors } = started({
      decide: ({ key }) => ({ allow: true, endpoints: [{ protocol: 'tcp', dial: String(key) }] }),
    });
    const accepted = addon.answered;
    const push = accepted.push.bind(accepted);
    accepted.push = (verdicts) => {
      if (verdicts.some(({ allow, key }) => allow && key === 8)) {
        throw failing('internal', 'bad dial');
      }
      return push(verdicts);
    };
    addon.emit({ upcalls: [upcall, { ...upcall, key: 8 }] });
    expect(accepted.flat()).toMatchObject([
      { key: 7, allow: true }, { key: 8, allow: false, reason: 'internal' },
    ]);
    expect(errors).toHaveLength(1);
  });
  it('denies the key whose refusal the engine cannot use, too', () => {
    const { addon, errors } = started({
      decide: () => ({ allow: false, reason: 'bogus' as 'denied' }),
    });
    const accepted = addon.answered;
    const push = accepted.push.bind(accepted);
    accepted.push = (verdicts) => {
      if (verdicts.some(({ reason }) => String(reason) === 'bogus')) throw failing('argument', 'x');
      return push(verdicts);
    };
    addon.emit({ upcalls: [upcall, { ...upcall, key: 8 }, { ...upcall, key: 9 }] });
    expect(accepted.flat().map(({ key, reason }) => [key, reason])).toEqual([
      [7, 'internal'], [8, 'internal'], [9, 'internal'],
    ]);
    expect(errors).toHaveLength(3);
  });
  it.each([undefined, null, 5, 'yes', {}, [], { allow: 'yes' }, { allow: true },
    { allow: true, endpoints: 'x' }])('denies with internal for the answer %j', async (answer) => {
    for (const given of [answer, Promise.resolve(answer)]) {
      const { addon, errors } = started({ decide: () => given as never });
      addon.emit({ upcalls: [upcall] });
      await settled();
      expect(addon.answered.flat()).toMatchObject([{ allow: false, reason: 'internal' }]);
      expect(errors).toMatchObject([{ code: 'ERR_ONEHOP_ARGUMENT' }]);
    }
  });
  it('waits for whatever can be waited for', async () => {
    const then = (done: (answer: object) => void): void => done({ allow: false, reason: 'overload' });
    const { addon } = started({ decide: () => ({ then }) as never });
    addon.emit({ upcalls: [upcall] });
    await settled();
    expect(addon.answered.flat()).toMatchObject([{ reason: 'overload' }]);
  });
  it('denies everything by default', () => {
    const { addon } = started();
    addon.emit({ upcalls: [upcall] });
    expect(addon.answered[0]).toMatchObject([{ allow: false, reason: 'unknown-destination' }]);
  });
  it('is asked again about every key not evicted, at the next generation', async () => {
    let allow = true;
    const { addon, engine } = started({
      decide: () => allow
        ? { allow, endpoints: [{ protocol: 'tcp', dial: '10.0.0.9:80' }] } : { allow },
    });
    addon.emit({ upcalls: [upcall, { ...upcall, key: 8 }] });
    addon.emit({ evicted: [[0, 8]] });
    expect([...engine.keys()].map(({ key }) => key)).toEqual([7]);
    allow = false;
    await engine.revalidate();
    expect(addon.answered.at(-1)).toMatchObject([
      { key: 7, allow: false, generation: 2, live: 'close' },
    ]);
  });
});

describe('deciding again', () => {
  it('denies a key whose answer does not come in time, until it comes', async () => {
    let answer: ((value: { allow: false; reason: 'overload' }) => void) | undefined;
    let first = true;
    const addon = fakeAddon();
    const errors: EngineError[] = [];
    const engine = Engine.start({ upcallTimeoutMs: 20 }, {
      failed: (error) => errors.push(error),
      decide: () => {
        if (!first) return new Promise((done) => (answer = done));
        first = false;
        return { allow: true, endpoints: [{ protocol: 'tcp', dial: '10.0.0.9:80' }] };
      },
    }, addon);
    addon.emit({ upcalls: [upcall] });
    await engine.revalidate();
    expect(addon.answered.at(-1)).toMatchObject([
      { allow: false, reason: 'upcall-timeout', live: 'close', generation: 2 },
    ]);
    expect(errors).toMatchObject([{ code: 'ERR_ONEHOP_UPCALL_TIMEOUT' }]);
    answer?.({ allow: false, reason: 'overload' });
    await settled();
    expect(addon.answered.at(-1)).toMatchObject([{ reason: 'overload', generation: 2 }]);
  });
});

describe('verdicts published each', () => {
  it('cost their own key only when the engine cannot use one', () => {
    const { addon, engine, errors } = started();
    const accepted = addon.answered;
    const push = accepted.push.bind(accepted);
    accepted.push = (verdicts) => {
      if (verdicts.some(({ allow, key }) => allow && key === 3)) throw failing('bad-request', 'no');
      return push(verdicts);
    };
    const verdict = {
      shard: 0, generation: 5, allow: true, reason: 'none', status: 0, counters: 0, endpoints: [],
      responseHeaders: [], live: 'keep',
    } as const;
    engine.publishEach([1, 2, 3, 4, 5].map((key) => ({ ...verdict, key })));
    expect(accepted.flat().map(({ key, allow, live }) => [key, allow, live])).toEqual([
      [1, true, 'keep'], [2, true, 'keep'], [3, false, 'close'], [4, true, 'keep'],
      [5, true, 'keep'],
    ]);
    expect(errors).toMatchObject([{ code: 'ERR_ONEHOP_BAD_REQUEST' }]);
  });
  it('never throw, also once it is stopped', () => {
    const { engine, errors } = started();
    engine.stop();
    engine.publishEach([]);
    engine.publishEach([{
      shard: 0, key: 1, generation: 1, allow: false, reason: 'denied', status: 0, counters: 0,
      endpoints: [], responseHeaders: [], live: 'close',
    }]);
    expect(errors).toEqual([]);
  });
});

describe('holding the process open', () => {
  it('lasts while it listens or waits, and not after unref', async () => {
    const { addon, engine, last } = started();
    const { handle } = engine.listen({ kind: 'forward', address: '127.0.0.1:0' });
    expect(last('keepAlive')).toBe(true);
    engine.closeListener(handle);
    expect(last('keepAlive')).toBe(false);
    const dialling = engine.dial({ endpoint: { protocol: 'tcp', dial: '10.0.0.1:1' } });
    expect(last('keepAlive')).toBe(true);
    addon.dials[0]?.({ reason: 'dial-refused', code: 111, detail: '' }, -1);
    await expect(dialling).rejects.toMatchObject({
      code: 'ERR_ONEHOP_DIAL_REFUSED', reason: 'dial-refused', number: 111,
    });
    await settled();
    expect(last('keepAlive')).toBe(false);
    engine.unref().listen({ kind: 'forward', address: '127.0.0.1:0' });
    expect(last('keepAlive')).toBe(false);
    engine.ref();
    expect(last('keepAlive')).toBe(true);
  });
});

describe('errors', () => {
  it('carry the reason as their code', () => {
    const { addon, engine } = started();
    addon.throwing.set('listen', failing('dial-failed', 'address in use', 98));
    expect(() => engine.listen({ kind: 'forward', address: '127.0.0.1:1' })).toThrow(
      expect.objectContaining({ code: 'ERR_ONEHOP_DIAL_FAILED', number: 98 }));
    addon.throwing.set('purgePool', failing('argument', 'dial must be a string'));
    expect(() => engine.purgePool('')).toThrow(
      expect.objectContaining({ code: 'ERR_ONEHOP_ARGUMENT' }));
  });
  it('say that a stopped engine is stopped', async () => {
    const { engine, addon } = started();
    await engine[Symbol.asyncDispose]();
    engine.stop();
    expect(addon.calls.filter(([name]) => name === 'stop')).toHaveLength(1);
    await expect(engine.flows()).rejects.toMatchObject({ code: 'ERR_ONEHOP_LOCAL_CLOSED' });
  });
  it('of handlers are reported and stop nothing', () => {
    let summaries = 0;
    const { addon, errors } = started({
      notices: () => { throw new Error('no'); },
      evicted: () => { summaries += 1; },
    });
    addon.emit({
      notices: [{ shard: 0, listener: 5, source: '', reason: 'tls-failed', code: 0, detail: '' }],
      evicted: [[0, 1]],
    });
    expect(errors).toHaveLength(1);
    expect(summaries).toBe(1);
  });
});

describe('descriptors', () => {
  const delivery = {
    shard: 0, key: 7, flow: 9, listener: 5, source: '10.0.0.1:5', authority: 'a:1',
    peerIdentity: 'p',
  };
  const open = (fd: number): boolean => {
    try {
      fstatSync(fd);
      return true;
    } catch {
      return false;
    }
  };
  it('of deliveries nobody takes are closed', () => {
    const { addon } = started();
    const fd = openSync('/dev/null', 'r');
    addon.emit({ deliveries: [{ ...delivery, fd }] });
    expect(open(fd)).toBe(false);
  });
  it('of a dial that was given up are closed', async () => {
    const { addon, engine } = started();
    const controller = new AbortController();
    const dialling = engine.dial({
      endpoint: { protocol: 'tcp', dial: '10.0.0.1:1' }, signal: controller.signal,
    });
    controller.abort();
    await expect(dialling).rejects.toMatchObject({ name: 'AbortError' });
    const fd = openSync('/dev/null', 'r');
    addon.dials[0]?.(null, fd);
    expect(open(fd)).toBe(false);
  });
  it('that are no sockets are closed and reported', () => {
    const { addon, errors } = started({ deliver: () => undefined });
    const fd = openSync('/proc/self/status', 'r');
    addon.emit({ deliveries: [{ ...delivery, fd }] });
    expect(errors).toHaveLength(1);
    expect(open(fd)).toBe(false);
  });
});

describe('counters', () => {
  it('are summed over the shards', () => {
    const engine = Engine.start({ shards: 2, counterSlots: 4 }, {}, fakeAddon());
    // Cell n of the fake holds n: slot 1 begins at 16 and at 4 * 16 + 16.
    expect(engine.counters(1).opened).toBe(16 + 80);
    expect(engine.engineCounters().acceptPauses).toBe(1 + 33);
  });
});
