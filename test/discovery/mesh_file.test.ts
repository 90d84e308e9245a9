import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { formatDiagnostic } from '../../lib/discovery/diagnostic.js';
import { checkMeshFile, MeshFile, MeshFileError, type MeshFileOptions }
  from '../../lib/discovery/mesh_file.js';
import type { Delta } from '../../lib/model/resources.js';
import { WorkerPool } from '../../lib/workers/pool.js';

const meshOf = (...names: string[]): string => JSON.stringify({
  workloads: names.map((name, i) => ({
    name, namespace: 'demo', workloadIps: [`10.0.${i}.${name.charCodeAt(0)}`], services: {},
  })),
});

let dir: string;
let path: string;
let file: MeshFile | undefined;
let log: string[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'onehop-mesh-'));
  path = join(dir, 'mesh.yaml');
  log = [];
});
afterEach(async () => {
  file?.close();
  file = undefined;
  await rm(dir, { recursive: true });
});

const name = (uid: string): string => uid.split('/').at(-1) ?? '';
const show = (delta: Delta): string => [...delta.workloads.map((w) => `+${w.name}`),
  ...delta.removedWorkloads.map((uid) => `-${name(uid)}`)].join(' ');

async function open(options: MeshFileOptions = {}): Promise<MeshFile> {
  file = await MeshFile.open(path, {
    onDelta: (delta) => log.push(show(delta)),
    onUnchanged: () => log.push('='),
    onDiagnostics: (found) => log.push(...found.map((one) => formatDiagnostic(one).replace(dir, 'DIR'))),
  }, { pollMs: 1_000_000, ...options });
  return file;
}

const soon = (expected: string[]): Promise<void> =>
  expect.poll(() => log, { timeout: 10_000, interval: 10 }).toEqual(expected);

const replace = async (text: string): Promise<void> => {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
};

describe('a mesh file that is followed', () => {
  it('delivers differences when it is replaced by a rename', async () => {
    await writeFile(path, meshOf('a', 'b'));
    await open();
    expect(log).toEqual(['+a +b']);
    await replace(meshOf('a', 'c'));
    await soon(['+a +b', '+c -b']);
    await replace(meshOf('c'));
    await soon(['+a +b', '+c -b', '+c -a']);
  });

  it('keeps what it said when it breaks, says why, and goes on when it is right again', async () => {
    await writeFile(path, meshOf('a'));
    const { mesh } = await open();
    await replace('workloads:\n- {name: a, namespace: demo, protocol: HBON}\n');
    const why = 'DIR/mesh.yaml:2:40: error: workloads[0].protocol: "HBON" is no protocol; expected '
      + 'HBONE, TCP; did you mean HBONE?';
    await soon(['+a', why]);
    expect(file?.mesh).toBe(mesh);
    await replace(meshOf('a', 'b'));
    await soon(['+a', why, '+b']);
  });

  it('tells when it is right again and says the same, and of every reading asked for', async () => {
    await writeFile(path, meshOf('a'));
    const followed = await open();
    await replace('x');
    await expect.poll(() => log.length, { timeout: 10_000 }).toBe(2);
    await replace(meshOf('a'));
    await expect.poll(() => log.slice(2), { timeout: 10_000 }).toEqual(['=']);
    await followed.reload();
    expect(log.slice(2)).toEqual(['=', '=']);
    await unlink(path);
    await expect.poll(() => log.length, { timeout: 10_000 }).toBe(5);
    await followed.reload();
    expect(log.slice(5)).toEqual(['DIR/mesh.yaml: error: there is no such file']);
  });

  it('waits for one that is written in place, and bears its absence', async () => {
    await writeFile(path, meshOf('a'));
    await open({ quietMs: 80 });
    const text = meshOf('a', 'b', 'c');
    await writeFile(path, '');
    for (let i = 0; i <= 4; i++) {
      await new Promise((done) => setTimeout(done, 20));
      await writeFile(path, text.slice(0, Math.ceil(text.length * i / 4)));
    }
    await soon(['+a', '+b +c']);
    await unlink(path);
    await new Promise((done) => setTimeout(done, 20));
    await writeFile(path, meshOf('c'));
    await soon(['+a', '+b +c', '+c -a -b']);
    await unlink(path);
    await soon(['+a', '+b +c', '+c -a -b', 'DIR/mesh.yaml: error: there is no such file']);
    await replace(meshOf('d'));
    await soon(['+a', '+b +c', '+c -a -b', 'DIR/mesh.yaml: error: there is no such file', '+d -c']);
  });

  it('follows links as a ConfigMap swaps them', async () => {
    const version = async (at: string, text: string): Promise<void> => {
      await mkdir(join(dir, at));
      await writeFile(join(dir, at, 'mesh.yaml'), text);
      await symlink(at, join(dir, '..data_tmp'));
      await rename(join(dir, '..data_tmp'), join(dir, '..data'));
    };
    await version('..2026_1', meshOf('a'));
    await symlink(join('..data', 'mesh.yaml'), path);
    await open();
    await version('..2026_2', meshOf('b'));
    await soon(['+a', '+b -a']);
    await version('..2026_3', meshOf('c'));
    await soon(['+a', '+b -a', '+c -b']);
  });

  it('follows a link out of the directory', async () => {
    const other = join(dir, 'elsewhere');
    await mkdir(other);
    await writeFile(join(other, 'real'), meshOf('a'));
    await symlink(join(other, 'real'), path);
    await open();
    await writeFile(join(other, 'new'), meshOf('b'));
    await rename(join(other, 'new'), join(other, 'real'));
    await soon(['+a', '+b -a']);
  });

  it('sees changes without events, in time', async () => {
    const inner = join(dir, 'inner');
    await mkdir(inner);
    path = join(inner, 'mesh.yaml');
    await writeFile(path, meshOf('a'));
    await open({ pollMs: 50 });
    await rename(inner, join(dir, 'old'));
    await mkdir(inner);
    await writeFile(path, meshOf('b'));
    await expect.poll(() => log.at(-1), { timeout: 10_000 }).toBe('+b -a');
    await replace(meshOf('c'));
    await expect.poll(() => log.at(-1), { timeout: 10_000 }).toBe('+c -b');
  });

  it('does not stir when nothing it says has changed', async () => {
    await writeFile(path, meshOf('a'));
    const followed = await open();
    await replace(`${meshOf('a')}\n`);
    await followed.reload();
    await replace(meshOf('b'));
    await expect.poll(() => log.filter((line) => line !== '='), { timeout: 10_000 })
      .toEqual(['+a', '+b -a']);
  });

  it('ends on many quick changes at the last one', async () => {
    await writeFile(path, meshOf('a'));
    await open();
    for (let i = 0; i < 30; i++) await replace(meshOf(`w${i}`));
    await expect.poll(() => log.at(-1), { timeout: 10_000 }).toMatch(/^\+w29 /);
  });

  it('must be right at the start', async () => {
    await expect(open()).rejects.toThrow('mesh.yaml: error: there is no such file');
    await writeFile(path, 'x');
    const error: unknown = await open().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(MeshFileError);
    expect(error).toMatchObject({ code: 'ERR_ONEHOP_MESH_FILE', diagnostics: [{ line: 1, column: 1 }] });
    expect(log).toEqual([]);
  });

  it('is silent once closed', async () => {
    await writeFile(path, meshOf('a'));
    (await open()).close();
    await replace(meshOf('b'));
    await new Promise((done) => setTimeout(done, 100));
    expect(log).toEqual(['+a']);
  });
});

describe('checking a file', () => {
  it('never rejects', async () => {
    expect((await checkMeshFile(path)).diagnostics).toHaveLength(1);
    expect((await checkMeshFile(dir)).diagnostics[0]?.message).toBe('it cannot be read (EISDIR)');
    await writeFile(path, Buffer.from([0xff, 0xfe, 0x00, 0x80]));
    expect((await checkMeshFile(path)).mesh).toBeUndefined();
  });

  it('in a worker thread finds the same', async () => {
    await using pool = new WorkerPool();
    await writeFile(path, `${meshOf('a')}\n---\n{}`);
    const here = await checkMeshFile(path);
    expect(here.diagnostics).toHaveLength(1);
    expect(await checkMeshFile(path, { pool, inlineBytesMax: 0 })).toEqual(here);
    await writeFile(path, meshOf('a', 'b'));
    const { mesh } = await checkMeshFile(path, { pool, inlineBytesMax: 0 });
    expect(mesh?.workloads.size).toBe(2);
  });

  it('needs no worker thread', async () => {
    const pool = new WorkerPool();
    await pool.close();
    await writeFile(path, meshOf('a'));
    expect((await checkMeshFile(path, { pool, inlineBytesMax: 0 })).mesh?.workloads.size).toBe(1);
  });
});
