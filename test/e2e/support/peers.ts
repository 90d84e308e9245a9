import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../../..');

/** Python with h2 and hyperframe; `test/setup.sh` makes it. */
export const python = resolve(root, '.cache/venv/bin/python');
export const peerScript = (name: string): string => resolve(import.meta.dirname, '../peers', name);

/** Why tests that need the Python peers cannot run here; undefined when they can. */
export const pythonMissing = existsSync(python)
  ? undefined
  : `${python} is missing: run test/setup.sh`;
