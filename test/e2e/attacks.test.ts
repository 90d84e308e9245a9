import { readFileSync } from 'node:fs';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { TestMesh } from './support/mesh.js';
import { peerScript, python, pythonMissing } from './support/peers.js';
import { run, sleep, until } from './support/processes.js';
import { echoServer, exchange, readExactly, type TestServer } from './support/sockets.js';

// Each attack comes from hand-made frames of an independent peer. Beside it an honest flow on its own
// tunnel must go on, and afterwards the proxy's memory must be back near where it was.

let mesh: TestMesh;
let echo: TestServer;
let files: { cert: string; key: string; root: string };
const timeouts = ['--handshake-timeout', '2s', '--preface-timeout', '2s'];

beforeAll(async () => {
  mesh = await TestMesh.create('127.21.30');
  await mesh.start({ b: { args: timeouts } });
  echo = await echoServer(mesh.server, 8080);
  files = await mesh.issue('spiffe://cluster.local/ns/demo/sa/attacker', 'attacker');
}, 60_000);

afterAll(async () => {
  await echo?.close();
  await mesh?.stop();
});

const privateKiB = (pid: number): number => {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/Private_Dirty:\s+(\d+)/.exec(text)?.[1]);
};

interface Outcome {
  eof: boolean;
  goaway: number | null;
  resets: Record<string, number>;
  statuses: Record<string, number>;
  error: string;
  sent: number;
  seconds: number;
}

async function attack(name: string, seconds = 12): Promise<Outcome> {
  const result = await run(python, [
    peerScript('attacker.py'),
    name,
    '--address',
    `${mesh.server}:15008`,
    '--authority',
    `${mesh.server}:8080`,
    '--cert',
    files.cert,
    '--key',
    files.key,
    '--root',
    files.root,
    '--seconds',
    String(seconds),
  ]);
  if (result.code !== 0) throw new Error(result.stderr);
  return JSON.parse(result.stdout) as Outcome;
}

const enhanceYourCalm = 11;
const protocolError = 1;
const flowControlError = 3;
const frameSizeError = 6;

/** What must be true of the end: closed, with one of these GOAWAY codes (null: no HTTP/2 was spoken). */
const cases: readonly (readonly [string, readonly (number | null)[]])[] = [
  ['rapid-reset', [enhanceYourCalm]],
  ['made-you-reset', [enhanceYourCalm]],
  ['continuation-flood', [enhanceYourCalm]],
  ['continuation-empty', [enhanceYourCalm]],
  ['unfinished-headers', [enhanceYourCalm, protocolError]],
  ['hpack-bomb', [enhanceYourCalm, 9]],
  ['header-count', [enhanceYourCalm, 9]],
  ['settings-flood', [enhanceYourCalm]],
  ['settings-many-entries', [enhanceYourCalm]],
  ['ping-flood', [enhanceYourCalm]],
  ['rst-flood', [enhanceYourCalm]],
  ['empty-data', [enhanceYourCalm]],
  ['zero-length-headers', [enhanceYourCalm, protocolError]],
  ['window-overflow', [flowControlError]],
  ['window-zero', [protocolError]],
  ['data-on-idle', [protocolError]],
  ['oversized-frame', [frameSizeError]],
  ['bad-preface', [protocolError, null]],
  ['continue-after-goaway', [protocolError]],
  ['tls-silent', [null]],
  ['tls-half-hello', [null]],
  ['tls-garbage', [null]],
  ['tls-empty-records', [null]],
];

describe.skipIf(pythonMissing !== undefined)(
  `attacks on the HBONE port ${pythonMissing ?? ''}`,
  () => {
    for (const [name, codes] of cases) {
      it(`${name} ends its own connection and nobody else's`, async () => {
        const honest = await mesh.connect();
        const before = privateKiB(mesh.b.daemon.pid);
        let stopped = false;
        let rounds = 0;
        let worstMs = 0;
        const traffic = (async () => {
          const message = Buffer.alloc(64, 'h');
          while (!stopped) {
            const begin = performance.now();
            honest.write(message);
            expect((await readExactly(honest, 64)).equals(message)).toBe(true);
            worstMs = Math.max(worstMs, performance.now() - begin);
            rounds++;
            await sleep(2);
          }
        })();
        const outcome = await attack(name);
        stopped = true;
        await traffic;
        honest.destroy();
        expect(outcome).toMatchObject({ eof: true });
        expect(codes).toContain(outcome.goaway);
        expect(rounds).toBeGreaterThan(10);
        expect(worstMs).toBeLessThan(1000);
        await until(() => privateKiB(mesh.b.daemon.pid) < before + 12 * 1024, {
          timeoutMs: 15_000,
          what: () => `memory to return from ${privateKiB(mesh.b.daemon.pid)} to ${before} KiB`,
        });
      }, 60_000);
    }

    it('refuses streams over the limit without ending the connection', async () => {
      const outcome = await attack('stream-flood');
      // REFUSED_STREAM for the streams above 200, until the bucket for our own resets is empty.
      expect(outcome.resets['7']).toBeGreaterThan(100);
      expect(outcome.statuses['200'] ?? 0).toBeLessThanOrEqual(200);
    }, 60_000);

    it('ignores PRIORITY or ends the connection, and stays usable', async () => {
      await attack('priority-churn');
      const result = await exchange(await mesh.connect(), 100_000);
      expect(result.received).toBe(result.sent);
    }, 60_000);

    it('survives a window of one byte', async () => {
      await attack('window-dribble');
      const result = await exchange(await mesh.connect(), 100_000);
      expect(result.received).toBe(result.sent);
    }, 60_000);

    it('caps cookie crumbs like any other field', async () => {
      const outcome = await attack('cookie-crumbs');
      expect(outcome.statuses['200'] ?? 0).toBe(0);
    }, 60_000);
  },
);
