import { setFlagsFromString } from 'node:v8';

/**
 * Loading modules makes V8 grow the space for new objects, which it then keeps: 1.6 MiB that a node
 * proxy does not need at rest. While one starts, that space stays as
 * it is. Only where the flag is known to be there: V8 complains of others, and ignores them.
 */
const major = Number(process.versions.node.split('.')[0]);
const held = process.argv[2] === 'node' && major >= 20 && major <= 24;

if (held) setFlagsFromString('--semi-space-growth-factor=1');

/** V8's default again. */
export function letYoungHeapGrow(): void {
  if (held) setFlagsFromString('--semi-space-growth-factor=2');
}
