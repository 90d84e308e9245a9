import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { buildLoadgen, measure, runLoadgen, startRelay, startServer } from './support/loadgen.js';
import type { Report, RunningServer } from './support/loadgen.js';
import { startProxy } from './support/proxy.js';
import type { Direction, Meddle } from './support/proxy.js';

let program = '';
let server: RunningServer;
let cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  program = await buildLoadgen();
  server = await startServer(program);
}, 180_000);
afterAll(() => server.stop());
afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  cleanups = [];
});

async function through(meddle: Meddle): Promise<string> {
  const proxy = await startProxy(server.address, meddle);
  cleanups.push(() => proxy.stop());
  return proxy.address;
}

async function listening(onSocket: (socket: Socket) => void): Promise<string> {
  const listener = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    cleanups.push(() => socket.destroy());
    onSocket(socket);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  cleanups.push(() => listener.close());
  return `127.0.0.1:${(listener.address() as AddressInfo).port}`;
}

const clean = { failures: 0, corrupt: 0, firstError: '' };

describe('against its own server', () => {
  it.each<[string, Record<string, string | number>]>([
    ['ping-pong', { '--flows': 8 }],
    ['ping-pong', { '--flows': 8, '--rate': 300 }],
    ['ping-pong', { '--message': 1_000_000 }],
    ['connect-close', { '--flows': 8 }],
    ['connect-close', { '--flows': 8, '--rate': 300, '--message': 300_000 }],
    ['http', { '--flows': 8, '--message': 1024 }],
    ['http', { '--flows': 8, '--rate': 300, '--message': 1024 }],
    ['http', { '--flows': 2, '--message': 1_000_000 }],
    ['http', { '--flows': 2, '--message': 100_000, '--encoding': 'chunked' }],
  ])('%s %o answers every operation', async (work, options) => {
    const report = await measure(program, work, server.address, options);
    expect(report).toMatchObject({ ...clean, late: 0, reopened: 0 });
    expect(report.operations).toBeGreaterThan(0);
    expect(report.bytes).toBe(report.operations * Number(options['--message'] ?? 64));
    expect(report.p50Us).toBeGreaterThan(0);
    expect(report.maxUs).toBeGreaterThanOrEqual(report.p99Us);
    expect(report.cpuSeconds).toBeGreaterThan(0);
    expect(report.saturated).toBe(report.busiest >= 0.95);
  });
  it.each([
    ['upload', 1], ['upload', 16], ['download', 1], ['download', 16],
  ])('%s with %i flows moves bytes', async (work, flows) => {
    const report = await measure(program, work, server.address, { '--flows': flows });
    expect(report).toMatchObject(clean);
    expect(report.bytes).toBeGreaterThan(0);
  });
  it.each(['upload', 'download'])('reports both of ping-pong beside %s', async (work) => {
    const report = await measure(program, work, server.address,
      { '--flows': 4, '--beside': 1, '--message': 32 });
    expect(report).toMatchObject(clean);
    expect(report.bulkBytes).toBeGreaterThan(0);
    expect(report.bytes).toBe(report.operations * 32);
    expect(report.operations).toBeGreaterThan(0);
  });
  it('visits each target once', async () => {
    const seen = new Map<number, number>();
    const proxies = await Promise.all(Array.from({ length: 20 }, (_, index) =>
      through(({ direction, offset }) => {
        if (direction === 'up' && offset === 0) seen.set(index, (seen.get(index) ?? 0) + 1);
        return undefined;
      })));
    const report = await measure(program, 'connect-once', proxies.join(), { '--flows': 3 });
    expect(report).toMatchObject({ ...clean, operations: 20, late: 0 });
    expect([...seen.values()]).toEqual(Array.from({ length: 20 }, () => 1));
    expect(report.maxUs).toBeGreaterThan(0);
  });
  it('reads the CPU of others in the window', async () => {
    const report = await measure(program, 'ping-pong', server.address,
      { '--cpu-of': `${server.pid},${2 ** 30}`, '--flows': 4 });
    expect(report.peersCpuSeconds).toEqual([expect.any(Number), -1]);
    expect(report.peersCpuSeconds[0]).toBeGreaterThan(0);
  });
  it('holds idle flows and asks each at the end', async () => {
    const { code, out } = await runLoadgen(program,
      ['client', 'idle', server.address, '--flows', '500', '--seconds', '0.1']);
    expect(code).toBe(0);
    const [standing, report] = out.trim().split('\n').map((line) => JSON.parse(line) as unknown);
    expect(standing).toEqual({ connected: 500 });
    expect(report).toMatchObject({ ...clean, operations: 500 });
  });
});

describe('what it must not miss', () => {
  const flipAt = (direction: Direction, at: number): Meddle => (part) => {
    if (part.direction !== direction || at < part.offset || at >= part.offset + part.bytes.length) {
      return undefined;
    }
    const flipped = Buffer.from(part.bytes);
    flipped[at - part.offset] = (flipped[at - part.offset] ?? 0) ^ 0x20;
    return flipped;
  };
  // Byte 300 of an answer lies in the body: an HTTP head is shorter.
  it.each<[string, Direction, Record<string, string | number>]>([
    ['upload', 'up', {}], ['download', 'down', {}],
    ['ping-pong', 'up', { '--message': 1024 }], ['ping-pong', 'down', { '--message': 1024 }],
    ['connect-close', 'up', { '--message': 1024 }],
    ['connect-close', 'down', { '--message': 1024 }], ['http', 'down', { '--message': 1024 }],
    ['http', 'down', { '--message': 1024, '--encoding': 'chunked' }],
  ])('one wrong byte of %s %s %o', async (work, direction, options) => {
    const address = await through(flipAt(direction, 300));
    const report = await measure(program, work, address, { '--flows': 2, ...options });
    expect(report.corrupt).toBeGreaterThan(0);
    expect(report.failures).toBeGreaterThanOrEqual(report.corrupt);
    expect(report.firstError).toMatch(/^corrupt bytes/);
  });
  it.each<[string, Direction]>([['upload', 'up'], ['download', 'down'], ['ping-pong', 'up']])(
    'one byte of %s that is left out', async (work, direction) => {
      let left = false;
      const address = await through((part) => {
        if (left || part.direction !== direction || part.bytes.length < 100) return undefined;
        left = true;
        return Buffer.concat([part.bytes.subarray(0, 50), part.bytes.subarray(51)]);
      });
      const report = await measure(program, work, address, { '--message': 4096 });
      expect(report.failures).toBeGreaterThan(0);
      expect(report.corrupt).toBeGreaterThan(0);
    });
  it('an answer without its last byte', async () => {
    const address = await through(({ direction, bytes }) =>
      direction === 'down' ? bytes.subarray(0, -1) : undefined);
    await expect(measure(program, 'ping-pong', address))
      .rejects.toThrow('not every flow was answered in 10 s');
  });
  it('the answer of a late operation without its last byte', async () => {
    let answers = 0;
    const address = await through(({ direction, bytes }) => {
      if (direction === 'down') answers += 1;
      return answers > 3 ? bytes.subarray(0, -1) : undefined;
    });
    const report = await measure(program, 'ping-pong', address);
    expect(report).toMatchObject({ failures: 1, corrupt: 0, firstError: 'no answer in 2 s' });
  });
  it('answers that change places between two flows', async () => {
    const held: { bytes: Buffer; release: (other: Buffer) => void }[] = [];
    const address = await through(({ direction, bytes }) => {
      if (direction === 'up') return undefined;
      return new Promise((resolve) => {
        held.push({ bytes, release: resolve });
        if (held.length < 2) return;
        const [a, b] = held.splice(0, 2);
        a?.release(b?.bytes ?? Buffer.alloc(0));
        b?.release(a?.bytes ?? Buffer.alloc(0));
      });
    });
    const report = await measure(program, 'ping-pong', address, { '--flows': 2 });
    expect(report.corrupt).toBeGreaterThan(0);
  });
  it.each<[string, Record<string, string | number>]>([
    ['upload', {}], ['download', {}], ['ping-pong', {}], ['connect-close', { '--message': 4096 }],
    ['http', {}], ['http', { '--rate': 200 }],
  ])('connections of %s %o that are cut', async (work, options) => {
    const address = await through((part) => {
      if (part.connection % 2 === 1 && part.offset + part.bytes.length > 2000) part.cut();
      return undefined;
    });
    const report = await measure(program, work, address, { '--flows': 2, '--message': 512,
      ...options });
    expect(report.failures).toBeGreaterThan(0);
    expect(report.corrupt).toBe(0);
    expect(report.firstError).toMatch(/^(ended early|recv|send)/);
  });
  it('an idle flow that ends while it is held', async () => {
    let cut = (): void => undefined;
    let asked = 0;
    const address = await through((part) => {
      if (part.connection === 3) cut = part.cut;
      if (part.direction === 'down') asked += 1;
      if (asked === 8) setTimeout(() => cut(), 50);
      return undefined;
    });
    const report = await measure(program, 'idle', address, { '--flows': 8, '--seconds': 1 });
    expect(report).toMatchObject({ operations: 7, failures: 1, corrupt: 0 });
  });
  it('a target that is not there', async () => {
    const gone = await startProxy(server.address, () => undefined);
    gone.stop();
    const report = await measure(program, 'connect-close', gone.address);
    expect(report.operations).toBe(0);
    expect(report.failures).toBeGreaterThan(0);
    expect(report.firstError).toBe('connect: Connection refused');
  });
});

describe('the warm-up', () => {
  it.each<[string, Record<string, string | number>]>([
    ['ping-pong', {}], ['http', {}], ['upload', {}], ['download', {}],
  ])('of %s begins when every path stands', async (work, options) => {
    // Accepted at once, as a proxy does, and joined a second later.
    const address = await through(async ({ connection, offset }) => {
      if (connection === 1 && offset === 0) await sleep(1_000);
      return undefined;
    });
    const report = await measure(program, work, address,
      { '--flows': 2, '--seconds': 0.3, '--warmup': 0, ...options });
    expect(report).toMatchObject(clean);
    expect(report.seconds).toBeLessThan(0.9);
    if (work === 'ping-pong' || work === 'http') expect(report.maxUs).toBeLessThan(900_000);
    expect(report.bytes).toBeGreaterThan(0);
  });
});

describe('open loop', () => {
  it('charges a stall to every operation it delays', async () => {
    let begun = 0;
    let until = 0;
    const stall: Meddle = async () => {
      begun ||= Date.now();
      // One pause of 500 ms in the window, seen by all flows.
      if (until === 0 && Date.now() > begun + 400) until = Date.now() + 500;
      if (until > Date.now()) await sleep(until - Date.now());
      return undefined;
    };
    const address = await through(stall);
    const report = await measure(program, 'ping-pong', address,
      { '--flows': 2, '--rate': 200, '--seconds': 1, '--warmup': 0 });
    expect(report).toMatchObject(clean);
    // 500 of 1000 ms were stalled: of the operations due then, half waited for 250 ms or more.
    expect(report.p90Us).toBeGreaterThan(250_000);
    expect(report.maxUs).toBeGreaterThan(400_000);
  });
  it('counts operations that no flow was free for', async () => {
    const address = await through(async () => { await sleep(300); return undefined; });
    const report = await measure(program, 'ping-pong', address,
      { '--rate': 200, '--seconds': 0.5, '--warmup': 0 });
    expect(report.late).toBeGreaterThan(50);
    expect(report.p99Us).toBeGreaterThan(1_000_000);
  });
});

describe('HTTP answers', () => {
  const body = 'x'.repeat(8);
  /** The first answer as given, a byte a segment; the right body is not known here. */
  async function answered(answer: string): Promise<Report> {
    const address = await listening((socket) => {
      socket.once('data', () => {
        void (async () => {
          for (const byte of Buffer.from(answer, 'latin1')) {
            if (socket.destroyed) return;
            socket.write(Buffer.of(byte));
            await new Promise((resolve) => setImmediate(resolve));
          }
        })();
      });
    });
    return measure(program, 'http', address, { '--message': 8, '--seconds': 0.2 });
  }
  it.each([
    ['HTTP/2 200 OK\r\n\r\n', 'no HTTP/1 status line'],
    ['HTTP/1.1 20x OK\r\n\r\n', 'no HTTP/1 status line'],
    ['HTTP/1.1 200 OK\r\n\r\n', 'a body without a length'],
    ['HTTP/1.1 200 OK\r\ncontent-length: 8\r\ncontent-length: 9\r\n\r\n', 'two lengths'],
    ['HTTP/1.1 200 OK\r\ncontent-length: -8\r\n\r\n', 'no Content-Length'],
    ['HTTP/1.1 200 OK\r\ncontent-length: 8, 8\r\n\r\n', 'no Content-Length'],
    ['HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n', 'no Content-Length'],
    ['HTTP/1.1 200 OK\r\ncontent-length: 8\r\ntransfer-encoding: chunked\r\n\r\n',
      'chunked with a Content-Length'],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n',
      'a transfer coding other than chunked'],
    ['HTTP/1.1 200 OK\r\n folded: x\r\n\r\n', 'no header field'],
    ['HTTP/1.1 101 Switching\r\n\r\n', 'switched protocols'],
    [`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(17_000)}\r\n\r\n`, 'a head or chunk line too long'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n', 'no chunk size'],
    [`HTTP/1.1 503 No\r\nContent-Length: 8\r\n\r\n${body}`, 'status 503'],
    [`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\ntransfer-encoding: CHUNKED\r\n\r\n` +
      `4;x=y\r\nxxxx\r\n04\r\nxxxx\r\n0\r\ntrailer: 1\r\n\r\n`, 'status 503'],
    [`HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n4\r\nxxxxx\r\n`,
      'no line end after a chunk'],
    ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', 'a body too short'],
    ['HTTP/1.1 204 No Content\r\n\r\n', 'status 204'],
    [`HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n${body}`, 'corrupt bytes'],
  ])('%j is %s', async (answer, problem) => {
    const report = await answered(answer);
    expect(report.firstError).toBe(problem);
    expect(report.failures).toBeGreaterThan(0);
    expect(report.operations).toBe(0);
  });
  it('may end the connection after each one, when they say so', async () => {
    // Through HTTP/1.0 the server ends each connection.
    const address = await through(({ direction, bytes }) => direction === 'down' ? undefined
      : Buffer.from(bytes.toString('latin1').replace('HTTP/1.1', 'HTTP/1.0'), 'latin1'));
    const report = await measure(program, 'http', address, { '--flows': 2 });
    expect(report).toMatchObject(clean);
    expect(report.operations).toBeGreaterThan(1);
    expect(report.reopened).toBeGreaterThan(1);
  });
  it('may come a byte at a time', async () => {
    const address = await through(({ direction, bytes }) => {
      if (direction === 'up') return undefined;
      return [...bytes].map((byte) => Buffer.of(byte));
    });
    for (const encoding of ['fixed', 'chunked']) {
      const report = await measure(program, 'http', address,
        { '--message': 1000, '--encoding': encoding });
      expect(report).toMatchObject(clean);
      expect(report.operations).toBeGreaterThan(0);
    }
  });
});

describe('source addresses', () => {
  it.each([
    [{}, 8], [{ '--sources': 3 }, 3], [{ '--source': '127.9.9.9', '--sources': 1 }, 1],
  ])(
    'of %o are %i in turn', async (options, count) => {
      const seen = new Set<string | undefined>();
      const address = await listening((socket) => {
        seen.add(socket.remoteAddress);
        socket.once('data', (bytes: Buffer) => socket.write(bytes.subarray(16)));
      });
      const report = await measure(program, 'connect-close', address,
        { '--flows': 4, '--seconds': 0.5, ...options });
      expect(report).toMatchObject(clean);
      expect(seen.size).toBe(count);
      if ('--source' in options) expect([...seen]).toEqual(['127.9.9.9']);
    });
});

describe('the relay', () => {
  async function relayTo(target: string): Promise<string> {
    const relay = await startRelay(program, target);
    cleanups.push(() => relay.stop());
    return relay.address;
  }
  it.each<[string, Record<string, string | number>]>([
    ['upload', { '--flows': 4 }], ['download', { '--flows': 4 }], ['ping-pong', { '--flows': 64 }],
    ['ping-pong', { '--message': 1_000_000 }], ['connect-close', { '--flows': 8 }],
    ['http', { '--flows': 4, '--message': 100_000 }],
  ])('carries %s %o over two hops', async (work, options) => {
    const report = await measure(program, work, await relayTo(await relayTo(server.address)),
      options);
    expect(report).toMatchObject(clean);
    expect(report.bytes).toBeGreaterThan(0);
  });
  it('passes half-closes on, both ways', async () => {
    const relay = await relayTo(await listening((socket) => {
      socket.allowHalfOpen = true;
      const parts: Buffer[] = [];
      socket.on('data', (part: Buffer) => parts.push(part));
      socket.on('end', () => socket.end(Buffer.concat([...parts, Buffer.from('!')])));
    }));
    const [host = '', port = ''] = relay.split(':');
    const socket = connect({ host, port: Number(port), allowHalfOpen: true });
    socket.end(Buffer.alloc(3_000_000, 'x'));
    let bytes = 0;
    for await (const part of socket as AsyncIterable<Buffer>) bytes += part.length;
    expect(bytes).toBe(3_000_001);
  });
  it('passes resets on', async () => {
    const relay = await relayTo(await listening((socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    }));
    const report = await measure(program, 'ping-pong', relay);
    expect(report.firstError).toMatch(/^(recv|send): Connection reset by peer$/);
    const nobody = await startProxy(server.address, () => undefined);
    nobody.stop();
    const refused = await measure(program, 'connect-close', await relayTo(nobody.address));
    expect(refused.operations).toBe(0);
    expect(refused.firstError).toMatch(/^(recv|send|connect): Connection reset by peer$/);
  });
});

describe('cpu', () => {
  it('tells the CPU time of processes, and null of none', async () => {
    const read = async (): Promise<Record<string, number | null>> => {
      const { out } = await runLoadgen(program,
        ['cpu', String(process.pid), String(server.pid), String(2 ** 30)]);
      return JSON.parse(out) as Record<string, number | null>;
    };
    const before = await read();
    const used = process.cpuUsage();
    while (process.cpuUsage(used).user < 20_000);
    const after = await read();
    expect(before[String(2 ** 30)]).toBeNull();
    expect(before[server.pid]).toBeGreaterThan(0);
    const grown = (after[process.pid] ?? 0) - (before[process.pid] ?? 0);
    expect(grown).toBeGreaterThanOrEqual(20_000_000);
  });
});

describe('usage', () => {
  it.each([
    [[]], [['dance']], [['client', 'fly', '127.0.0.1:1']], [['client', 'http']],
    [['cpu', '1', 'x']], [['relay', '127.0.0.1:0']], [['relay', '127.0.0.1:0', 'localhost:1']],
    [['client', 'http', '127.0.0.1:1', '--flows', '0']], [['client', 'http', 'localhost:1']],
    [['client', 'http', '127.0.0.1:70000']], [['client', 'http', '127.0.0.1:1', '--wings', '2']],
    [['client', 'http', '127.0.0.1:1', '--beside', '1']], [['server', '127.0.0.1:0', '--flows']],
    [['client', 'upload', '127.0.0.1:1', '--rate', '5']],
    [['client', 'ping-pong', '127.0.0.1:1', '--congestion', 'none-such']],
  ])('%j ends with 2', async (args) => {
    const { code, out, err } = await runLoadgen(program, args);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(/^loadgen: /);
  });
});
