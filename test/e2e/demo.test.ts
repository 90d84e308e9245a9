import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';

import { describe, expect, it } from 'vitest';

import { onehopMain, onehop, run } from './support/processes.js';

const left = async (): Promise<string[]> =>
  (await readdir(tmpdir())).filter((name) => name.startsWith('onehop-demo-')).sort();

describe('onehop demo', () => {
  it('shows every step of the main job, and ends with 0', async () => {
    const before = await left();
    const { code, stdout, stderr } = await onehop(['demo'], { timeoutMs: 100_000 });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const facts = [
      /^1\. A certificate authority, two node proxies/m,
      /answered: "hello from workload b"/,
      /node-a is spiffe:\/\/cluster\.local\/ns\/demo\/sa\/client and verified spiffe:\/\/\S+\/sa\/server/,
      /node-b is spiffe:\/\/cluster\.local\/ns\/demo\/sa\/server and verified spiffe:\/\/\S+\/sa\/client/,
      /bytes passed between the proxies: neither the marked text/,
      /a live flow was cut \d+ ms after the mesh file changed/,
      /a new flow was refused; node-b says why: "connection closed due to policy rejection: .*demo\/no-client"/,
      /without the policy it is allowed again/,
      /512 MiB in \S+ s: \S+ Gbit\/s/,
      /200 flows at once over \d+ tunnels; \d+ handshakes/,
      /both ended with 0\nevery step held\n$/,
    ];
    for (const fact of facts) expect(stdout).toMatch(fact);
    expect(stdout).not.toContain('\u001b');
    expect(await left()).toEqual(before);
  }, 120_000);

  it('ends with 1 when a step does not hold, says which, and leaves nothing behind', async () => {
    const before = await left();
    // Too few descriptors for what the pool is shown with.
    const { code, stdout } = await run(
      'prlimit',
      ['--nofile=120:120', process.execPath, onehopMain, 'demo'],
      { timeoutMs: 100_000 },
    );
    expect(code).toBe(1);
    expect(stdout).toMatch(/^ {3}✗ .+\n {3}onehop demo --verbose shows the logs/m);
    expect(stdout).not.toContain('every step held');
    expect(await left()).toEqual(before);
  }, 120_000);
});
