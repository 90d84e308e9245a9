import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { onehop, type RunResult } from '../e2e/support/processes.js';

// The built command, as a user runs it. What one can correct before trying again ends with 2, and
// every complaint is on stderr and says what would be right.

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'onehop-cli-'));
});
afterAll(() => rm(dir, { recursive: true }));

const at = (name: string): string => join(dir, name);
const plain = { ...process.env };
for (const name of ['NODE_NAME', 'LOCAL_XDS_PATH', 'ONEHOP_CA_DIR']) delete plain[name];
const run = (...args: string[]): Promise<RunResult> => onehop(args, { cwd: dir, env: plain });

describe('help and version', () => {
  it.each([
    [['--help'], 'Usage: onehop '],
    [['help'], 'Usage: onehop '],
    [['ca', '--help'], 'Usage: onehop ca '],
    [['ca', 'init', '--help'], '--trust-domain <DOMAIN>'],
    [['ca', 'issue', '-h'], '--out <PREFIX>'],
    [['help', 'node'], '--mesh <FILE>'],
    [['node', '--help'], '--ca-dir <DIR>'],
    [['check', '--help'], 'Usage: onehop check '],
    [['demo', '--help'], '--verbose'],
    [['bench', '--help'], 'Usage: onehop bench '],
  ])('%j', async (args, expected) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(expected);
  });

  it('print the version of package.json', async () => {
    const path = resolve(import.meta.dirname, '../../package.json');
    const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string };
    for (const flag of ['--version', '-V']) {
      expect(await run(flag)).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    }
  });
});

describe('usage', () => {
  it.each<[string[], RegExp]>([
    [[], /Usage: onehop /],
    [['ca'], /Usage: onehop ca /],
    [['nod'], /unknown command 'nod'\n\(Did you mean node\?\)/],
    [['node', '--shardz', '3'], /unknown option '--shardz'\n\(Did you mean --shards\?\)/],
    [['node', 'extra'], /too many arguments/],
    [['node', '--mesh'], /'--mesh <FILE>' argument missing/],
    [['check'], /missing required argument 'file'/],
    [['ca', 'init'], /'--dir <DIR>' not specified/],
    [['ca', 'issue', '--dir', 'x'], /'--id <SPIFFE_ID>' not specified/],
    [
      ['ca', 'init', '--dir', 'x', '--root-cert', 'y'],
      /--root-cert and --root-key belong together/,
    ],
    [['ca', 'init', '--dir', 'x', '--trust-domain', 'A'], /trust domain 'A': lower-case letters/],
    [
      ['node'],
      /--node: is missing; .* \(or NODE_NAME\)\n--mesh: is missing; .*\n--ca-dir: is missing/,
    ],
    [
      ['node', '--shards', '65', '--log', 'xml'],
      /--log: "xml" is not .*\n--shards: "65" is not a whole/,
    ],
    [['node', '--admin', ':1'], /--admin: ":1" is not ip:port such as/],
    [['node', '--drain-deadline', '5'], /--drain-deadline: "5" is not a duration such as 500ms/],
    [['node', '--forward', '1.2.3.4:1'], /--forward: "1.2.3.4:1" is not ip:port=ip:port such as/],
  ])('%j is refused', async (args, why) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(why);
    expect(stderr).not.toContain('    at ');
  });

  it('of a variable is complained about by its name', async () => {
    const { code, stderr } = await onehop(['node'], { env: { ZTUNNEL_WORKER_THREADS: 'many' } });
    expect([code, stderr]).toEqual([
      2,
      'onehop: ZTUNNEL_WORKER_THREADS: "many" is not a whole number from 0 to 64\n',
    ]);
  });
});

describe('onehop ca', () => {
  const id = 'spiffe://cluster.local/ns/demo/sa/web';

  it('init makes an authority once; issue writes a chain and a key', async () => {
    expect(await run('ca', 'init', '--dir', 'ca')).toEqual({
      code: 0,
      stderr: '',
      stdout: 'certificate authority for cluster.local in ca; its root is ca/root.pem\n',
    });
    expect((await readdir(at('ca'))).sort()).toEqual([
      'ca-key.pem',
      'ca.json',
      'ca.pem',
      'root.pem',
    ]);
    expect((await stat(at('ca/ca-key.pem'))).mode & 0o777).toBe(0o600);
    expect((await stat(at('ca'))).mode & 0o777).toBe(0o700);
    expect(await run('ca', 'init', '--dir', 'ca')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'onehop: ca: holds a certificate authority already; another --dir would be right\n',
    });
    const issued = await run('ca', 'issue', '--dir', 'ca', '--id', id, '--out', 'web');
    expect(issued).toMatchObject({ code: 0, stderr: '' });
    expect(issued.stdout).toMatch(
      /^spiffe:\/\/cluster\.local\/ns\/demo\/sa\/web until \S+Z: web\.pem, web-key\.pem\n$/,
    );
    expect((await stat(at('web-key.pem'))).mode & 0o777).toBe(0o600);
    expect(await readFile(at('web.pem'), 'utf8')).toMatch(/^-----BEGIN CERTIFICATE-----\n/);
  });

  it('signs through an adopted intermediate, and its chain has it', async () => {
    const adopted = await run(
      'ca',
      'init',
      '--dir',
      'adopted',
      '--trust-domain',
      'td.example',
      '--root-cert',
      'ca/ca.pem',
      '--root-key',
      'ca/ca-key.pem',
    );
    expect(adopted).toMatchObject({ code: 0, stderr: '' });
    expect(await readFile(at('adopted/root.pem'), 'utf8')).toBe(
      await readFile(at('ca/root.pem'), 'utf8'),
    );
  });

  it.each<[string[], RegExp]>([
    [
      ['init', '--dir', 'x', '--root-cert', 'none', '--root-key', 'web-key.pem'],
      /^onehop: --root-cert none: there is no such file\n$/,
    ],
    [
      ['init', '--dir', 'x', '--root-cert', 'ca/ca.pem', '--root-key', 'web-key.pem'],
      /^onehop: web-key.pem: is not the key of the first certificate in ca\/ca.pem\n$/,
    ],
    [
      ['init', '--dir', 'x', '--root-cert', 'web.pem', '--root-key', 'web-key.pem'],
      /^onehop: web.pem: the first certificate .* is not a certificate authority/,
    ],
    [
      ['issue', '--dir', 'none', '--id', id, '--out', 'x'],
      /^onehop: none\/ca.pem: not found; make an authority with 'onehop ca init --dir none'\n$/,
    ],
    [
      ['issue', '--dir', 'ca', '--id', 'spiffe://other/ns/a/sa/b', '--out', 'x'],
      /^onehop: spiffe:\/\/other\/ns\/a\/sa\/b: this authority signs for spiffe:\/\/cluster.local\/… only\n$/,
    ],
    [
      ['issue', '--dir', 'ca', '--id', 'spiffe://cluster.local/a b', '--out', 'x'],
      /is no SPIFFE id;/,
    ],
    [
      ['issue', '--dir', 'ca', '--id', id, '--out', 'no/x'],
      /^onehop: no\/x-key.pem: cannot be written/,
    ],
  ])('%j ends with 2 and makes nothing', async (args, why) => {
    const { code, stdout, stderr } = await run('ca', ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(why);
    expect((await readdir(dir)).filter((name) => name.startsWith('x'))).toEqual([]);
  });
});

describe('onehop check', () => {
  it('counts what a good file holds, and tells warnings without failing', async () => {
    await writeFile(
      at('good.yaml'),
      'workloads:\n- {name: a, namespace: d, workloadIps: [10.0.0.1],\n' +
        '   services: {}, authorizationPolicies: [d/p]}\n',
    );
    expect(await run('check', 'good.yaml')).toEqual({
      code: 0,
      stdout: 'good.yaml: 1 workloads, 0 services, 0 policies\n',
      stderr:
        'good.yaml:3:42: warning: workloads[0].authorizationPolicies[0]: the policy d/p is not in ' +
        'this file: without it every connection to Kubernetes//Pod/d/a is denied\n',
    });
  });

  it('tells every error with its place and what would be right, and ends with 2', async () => {
    await writeFile(
      at('bad.yaml'),
      'workloads:\n- name: a\n  namespace: d\n  protocol: HBON\n' +
        '  workloadIps: [10.0.0.300]\n  protocol: TCP\n',
    );
    expect(await run('check', 'bad.yaml')).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'bad.yaml:4:13: error: workloads[0].protocol: "HBON" is no protocol; expected HBONE, TCP; ' +
        'did you mean HBONE?\n' +
        'bad.yaml:5:17: error: workloads[0].workloadIps[0]: "10.0.0.300" is no IP address; expected one ' +
        'such as 10.0.0.1 or 2001:db8::1\n' +
        'bad.yaml:6:3: error: workloads[0]: "protocol" is written twice here; once would be right\n',
    });
  });

  it.each([
    ['none.yaml', 'there is no such file'],
    ['.', 'it cannot be read (EISDIR)'],
  ])('%s', async (file, why) => {
    expect(await run('check', file)).toEqual({
      code: 2,
      stdout: '',
      stderr: `${file}: error: ${why}\n`,
    });
  });
});
