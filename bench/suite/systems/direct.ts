import type { System } from '../system.js';

export const direct: System = {
  name: 'direct',
  path: 'client - server',
  carries: 'bytes',
  probe: () => Promise.resolve({ version: 'no proxy' }),
  start: ({ server }) => Promise.resolve({ entry: server, proxies: [] }),
};
