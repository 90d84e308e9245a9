import { spawnSync } from 'node:child_process';

import { describe, expect, it } from 'vitest';

import { makeLayout } from '../../bench/suite/layout.js';

/** Connects and closes `count` times, waits, does it again; prints how many connections failed. */
const twice = (host: string, count: number): string => `
const net = require('net');
const server = net.createServer((socket) => socket.on('error', () => {}).resume());
const one = (port) => new Promise((done) => {
  const socket = net.connect(port, '${host}', () => socket.end());
  socket.on('error', () => done(1)).on('close', (failed) => failed || done(0)).resume();
});
server.listen(0, '${host}', async () => {
  let failed = 0;
  for (let turn = 0; turn < 2; turn += 1) {
    for (let n = 0; n < ${count}; n += 1) failed += await one(server.address().port);
    await new Promise((done) => setTimeout(done, 2500));
  }
  console.log(failed);
  process.exit();
});`;

describe('a namespace', () => {
  it.runIf(process.getuid?.() === 0)('gives a client its ports again a second after their use',
    () => {
      const layout = makeLayout('netns', { near: '', far: '' }, '');
      const inside = (...argv: readonly string[]): string => {
        const [command = '', ...args] = [...layout.inside('near'), ...argv];
        return spawnSync(command, args, { encoding: 'utf8' }).stdout.trim();
      };
      try {
        const [least, most] = inside('sysctl', '-n', 'net.ipv4.ip_local_port_range').split(/\s+/);
        expect(Number(least)).toBe(30_000);
        expect(Number(most)).toBe(65_535);
        inside('sysctl', '-q', '-w', 'net.ipv4.ip_local_port_range=40000 40099');
        expect(inside(process.execPath, '-e', twice(layout.nearHost, 60))).toBe('0');
      } finally {
        layout.remove();
      }
    }, 30_000);
});
