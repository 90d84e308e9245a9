import type { System } from '../system.js';

/** Every system, in the order of the tables. */
export const systems: readonly System[] = [];
