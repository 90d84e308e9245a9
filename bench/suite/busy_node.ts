import { isMainThread, Worker } from 'node:worker_threads';

import { createNodeProxy, type NodeProxyOptions } from 'onehop';

/**
 * `busy_node main|beside OPTIONS`: a node proxy in a process whose JavaScript computes for 200 of
 * every 250 ms, on the thread of its event loop or on one beside it. OPTIONS: JSON, by name.
 */
const busyMs = 200;
const freeMs = 50;

function compute(): void {
  const until = performance.now() + busyMs;
  while (performance.now() < until);
  setTimeout(compute, freeMs);
}

if (isMainThread) {
  const [, , loop = '', options = ''] = process.argv;
  await createNodeProxy(JSON.parse(options) as NodeProxyOptions);
  if (loop === 'main') compute();
  else new Worker(import.meta.filename);
} else {
  compute();
}
