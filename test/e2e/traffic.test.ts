import { once } from 'node:events';
import type net from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { metric, TestMesh } from './support/mesh.js';
import { until } from './support/processes.js';
import {
  closed,
  connectSocks,
  echoServer,
  exchange,
  listen,
  pattern,
  readExactly,
  SocksError,
  type TestServer,
} from './support/sockets.js';

let mesh: TestMesh;
let echo: TestServer;

beforeAll(async () => {
  mesh = await TestMesh.create('127.21.1');
  await mesh.start();
  echo = await echoServer(mesh.server, 8080);
}, 60_000);

afterAll(async () => {
  await echo?.close();
  await mesh?.stop();
});

/** Runs `body` against a one-off application behind the server workload. */
async function withApp(
  onSocket: (socket: net.Socket) => void,
  body: (port: number) => Promise<void>,
): Promise<void> {
  const app = await listen(mesh.server, onSocket);
  try {
    await body(app.address.port);
  } finally {
    await app.close();
  }
}

describe('bytes through two node proxies', () => {
  const sizes = [
    1,
    2,
    100,
    9 * 1024,
    16_374,
    16_375,
    16_376,
    16_384,
    65_536,
    1 << 20,
    (8 << 20) + 1,
  ];
  for (const bytes of sizes) {
    it(`echoes ${bytes} bytes unchanged`, async () => {
      const socket = await mesh.connect();
      const result = await exchange(socket, bytes);
      expect(result.receivedBytes).toBe(bytes);
      expect(result.received).toBe(result.sent);
    });
  }

  it('echoes 1 GiB unchanged', async () => {
    const socket = await mesh.connect();
    const result = await exchange(socket, 1 << 30);
    expect(result.receivedBytes).toBe(1 << 30);
    expect(result.received).toBe(result.sent);
  }, 120_000);

  it('reaches a service by its address and by its name', async () => {
    for (const host of [mesh.vip, 'echo.demo.svc.cluster.local']) {
      const result = await exchange(await mesh.connect(host, 80), 4096);
      expect(result.received).toBe(result.sent);
    }
  });

  it('shows the application the address of the calling workload', async () => {
    let seen = '';
    await withApp(
      (socket) => {
        seen = socket.remoteAddress ?? '';
        socket.end('x');
      },
      async (port) => {
        const socket = await mesh.connect(mesh.server, port);
        await readExactly(socket, 1);
        socket.end();
        expect(seen).toBe(mesh.client);
      },
    );
  });

  it('carries it encrypted: both ends report mutual TLS and both identities', async () => {
    const result = await exchange(await mesh.connect(), 1000);
    expect(result.received).toBe(result.sent);
    await until(
      async () => {
        const labels = {
          connection_security_policy: 'mutual_tls',
          source_principal: 'spiffe://cluster.local/ns/demo/sa/client',
          destination_principal: 'spiffe://cluster.local/ns/demo/sa/server',
        };
        const [source, destination] = await Promise.all([mesh.a.metrics(), mesh.b.metrics()]);
        const name = 'istio_tcp_connections_closed_total';
        return (
          metric(source, name, { reporter: 'source', ...labels }) > 0 &&
          metric(destination, name, { reporter: 'destination', ...labels }) > 0
        );
      },
      { what: 'both reporters to count the flow' },
    );
  });

  it('refuses with a SOCKS5 reply when nobody listens behind the server', async () => {
    await expect(mesh.connect(mesh.server, 9)).rejects.toBeInstanceOf(SocksError);
  });

  it('refuses to be called through its own ports', async () => {
    for (const port of [15001, 15006, 15008, 15080]) {
      await expect(mesh.connect(mesh.client, port)).rejects.toBeInstanceOf(SocksError);
    }
  });

  it('passes unknown destinations through in plain TCP', async () => {
    const outside = await echoServer('127.21.1.77');
    try {
      const result = await exchange(await mesh.connect('127.21.1.77', outside.address.port), 5000);
      expect(result.received).toBe(result.sent);
    } finally {
      await outside.close();
    }
  });
});

describe('ends', () => {
  it('passes a FIN of the client on and still delivers the answer', async () => {
    await withApp(
      (socket) => {
        let bytes = 0;
        socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
        socket.once('end', () => socket.end(`got ${bytes}`));
      },
      async (port) => {
        const socket = await mesh.connect(mesh.server, port);
        socket.end(pattern(100_000));
        let answer = '';
        socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
        await once(socket, 'end');
        expect(answer).toBe('got 100000');
      },
    );
  });

  it('passes a FIN of the server on and still takes what the client sends', async () => {
    let received = 0;
    let ended = false;
    await withApp(
      (socket) => {
        socket.end('bye');
        socket.on('data', (chunk: Buffer) => (received += chunk.length));
        socket.once('end', () => (ended = true));
      },
      async (port) => {
        const socket = await mesh.connect(mesh.server, port);
        let answer = '';
        socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
        await once(socket, 'end');
        expect(answer).toBe('bye');
        socket.end(pattern(300_000));
        await until(() => ended, { what: 'the server to see the end' });
        expect(received).toBe(300_000);
      },
    );
  });

  it('passes a reset of the client on as a reset', async () => {
    let atServer: Promise<string> | undefined;
    let received = 0;
    await withApp(
      (socket) => {
        atServer = closed(socket);
        socket.on('data', (chunk: Buffer) => (received += chunk.length));
      },
      async (port) => {
        const socket = await mesh.connect(mesh.server, port);
        socket.write('x');
        // Node reports bytes and a reset that come together as bytes and an orderly end.
        await until(() => received === 1, { what: 'the server to have read' });
        socket.resetAndDestroy();
        expect(await atServer).toBe('ECONNRESET');
      },
    );
  });

  it('passes a reset of the server on as a reset', async () => {
    await withApp(
      (socket) => void socket.once('data', () => socket.resetAndDestroy()),
      async (port) => {
        const socket = await mesh.connect(mesh.server, port);
        const end = closed(socket);
        socket.resume();
        socket.write('x');
        expect(await end).toBe('ECONNRESET');
      },
    );
  });
});

describe('many flows', () => {
  it('holds 5,000 concurrent flows over few tunnels', async () => {
    const sockets: net.Socket[] = [];
    const total = 5000;
    const proxy = { host: mesh.client, port: 15080 };
    for (let opened = 0; opened < total; opened += 250) {
      const batch = Array.from({ length: 250 }, () => connectSocks(proxy, mesh.server, 8080));
      sockets.push(...(await Promise.all(batch)));
    }
    const check = async (socket: net.Socket, i: number): Promise<void> => {
      const message = Buffer.from(`flow ${i} `.padEnd(64, '.'));
      socket.write(message);
      expect((await readExactly(socket, 64)).equals(message)).toBe(true);
    };
    await Promise.all(sockets.map(check));
    const text = await mesh.a.metrics();
    expect(metric(text, 'onehop_flows_active')).toBeGreaterThanOrEqual(total);
    expect(metric(text, 'onehop_tunnels_active')).toBeLessThanOrEqual(total / 50);
    await Promise.all(sockets.map(check));
    for (const socket of sockets) socket.destroy();
    await until(async () => metric(await mesh.a.metrics(), 'onehop_flows_active') === 0, {
      what: 'the flows to be gone',
    });
    await until(() => echo.sockets.size === 0, { what: 'the server side to be gone' });
  }, 120_000);
});
