import type { MicroAddon } from './addon.js';
import { sample, type Described, type Effort, type MicroRow } from './sample.js';

export interface NativeCase extends Described {
  /** What the addon calls it. */
  readonly native: string;
  readonly size: number;
}

const recordSizes = [64, 256, 1024, 4096, 16_384];
/** A batch takes about this long, so that the call of it does not count. */
const batchNanos = 500_000;
const operationsMax = 1_000_000;

const inWords = (bytes: number): string => bytes < 1024 ? `${bytes} B` : `${bytes / 1024} KiB`;

const records = ['seal', 'open'].flatMap((verb) => ['128', '256'].flatMap((bits) =>
  recordSizes.map((size): NativeCase => ({
    group: 'TLS record', name: `${verb} AES-${bits}-GCM, ${inWords(size)}`, bytes: size,
    native: `${verb}-${bits}`, size,
  }))));

const frames = [64, 1024, 16_375].map((size): NativeCase => ({
  group: 'HTTP/2', name: `parse a DATA frame of ${size.toLocaleString('en')} B`, size,
  native: 'frame-data',
}));

const hits = [1, 1000, 65_536].map((size): NativeCase => ({
  group: 'Flow cache', native: 'flow-cache-hit', size,
  name: `hit among ${size.toLocaleString('en')} ${size === 1 ? 'key' : 'keys'}`,
}));

export const nativeCases: readonly NativeCase[] = [
  ...records,
  { group: 'HTTP/2', name: 'encode a CONNECT head', native: 'hpack-encode', size: 0 },
  { group: 'HTTP/2', name: 'decode a CONNECT head, our own coding', native: 'hpack-decode',
    size: 0 },
  { group: 'HTTP/2', name: 'decode a CONNECT head, Huffman, put into the table',
    native: 'hpack-decode-huffman', size: 0 },
  ...frames,
  { group: 'HTTP/2', name: 'parse a WINDOW_UPDATE frame', native: 'frame-window', size: 0 },
  ...hits,
];

export function measureNative(addon: MicroAddon, one: NativeCase, effort: Effort):
Promise<MicroRow> {
  const prepared = addon.prepare(one.native, one.size);
  const trial = 64;
  addon.run(prepared, trial);
  const each = Math.max(addon.run(prepared, trial) / trial, 1);
  const operations = Math.min(Math.max(Math.ceil(batchNanos / each), trial), operationsMax);
  const { native: _native, size: _size, ...described } = one;
  return sample(described, () => ({ nanos: addon.run(prepared, operations), operations }), effort);
}
