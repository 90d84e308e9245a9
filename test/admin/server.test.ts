import http from 'node:http';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';

import { Readiness } from '../../lib/admin/readiness.js';
import { AdminServer, type Mount } from '../../lib/admin/server.js';

let server: AdminServer | undefined;
afterEach(() => server?.close());

const echo: Mount = {
  methods: ['GET', 'POST'], path: '/echo', doc: 'echo',
  handler: ({ method, query, body }) => ({ body: `${method} ${query.get('a')} ${body.toString()}` }),
};

async function start(...mounts: Mount[]): Promise<number> {
  server = new AdminServer(mounts);
  const address = await server.listen('127.0.0.1', 0);
  return Number(address.split(':')[1]);
}

function ask(port: number, method: string, path: string, body = ''): Promise<[number, string]> {
  return new Promise((done, fail) => {
    const request = http.request({ host: '127.0.0.1', port, method, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.once('end', () => done([response.statusCode ?? 0, text]));
    });
    request.once('error', fail);
    request.end(body);
  });
}

describe('the admin server', () => {
  it('routes by path and method', async () => {
    const port = await start(echo);
    expect(await ask(port, 'POST', '/echo?a=1', 'text')).toEqual([200, 'POST 1 text']);
    expect((await ask(port, 'PUT', '/echo'))[0]).toBe(405);
    expect((await ask(port, 'GET', '/other'))[0]).toBe(404);
    expect(await ask(port, 'GET', '/')).toEqual([200, expect.stringContaining('/echo')]);
  });

  it('answers 500 with the text of a handler that failed', async () => {
    const port = await start({
      ...echo, handler: () => { throw new Error('broken'); },
    });
    expect(await ask(port, 'GET', '/echo')).toEqual([500, 'broken\n']);
  });

  it('bounds bodies and headers', async () => {
    const port = await start(echo);
    expect((await ask(port, 'POST', '/echo', 'x'.repeat(70_000)))[0]).toBe(413);
    expect((await ask(port, 'GET', `/echo?a=${'x'.repeat(9_000)}`))[0]).toBe(431);
  });

  it('ends a caller that sends its head too slowly', async () => {
    const port = await start(echo);
    const socket = net.connect(port, '127.0.0.1');
    socket.write('GET /echo HTTP/1.1\r\nhost: x\r\n');
    const begin = performance.now();
    await new Promise((done) => socket.on('error', done).on('close', done).resume());
    expect(performance.now() - begin).toBeLessThan(8_000);
  }, 10_000);

  it('says which address is taken', async () => {
    const port = await start(echo);
    const second = new AdminServer([]);
    await expect(second.listen('127.0.0.1', port)).rejects.toThrow(
      `cannot listen on 127.0.0.1:${port}: EADDRINUSE`);
    await second.close();
  });
});

describe('readiness', () => {
  it('names what is pending and turns at the end', async () => {
    const readiness = new Readiness();
    const port = await start(readiness.mount());
    readiness.wait('mesh');
    readiness.wait('listeners', '2 of 3');
    expect(await ask(port, 'GET', '/healthz/ready')).toEqual([
      500, 'not ready, pending: mesh, listeners (2 of 3)\n']);
    readiness.done('mesh');
    readiness.done('listeners');
    expect(await ask(port, 'GET', '/healthz/ready')).toEqual([200, 'ready\n']);
    expect((await ask(port, 'POST', '/healthz/ready'))[0]).toBe(405);
  });
});
