import type { System } from '../system.js';
import { direct } from './direct.js';
import { hbone } from './hbone.js';
import { relay } from './relay.js';

/** Every system, in the order of the tables. */
export const systems: readonly System[] = [direct, relay, hbone];
