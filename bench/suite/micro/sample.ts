/** What one operation takes, over all samples of its case, nanoseconds. */
export interface MicroRow {
  readonly group: string;
  readonly name: string;
  readonly median: number;
  /** First and third quartile. */
  readonly low: number;
  readonly high: number;
  readonly samples: number;
  /** Payload bytes of one operation, where it has any. */
  readonly bytes?: number;
}

/** Does some operations and tells the nanoseconds they took and how many they were. */
export type Batch = () => Spent | Promise<Spent>;
export interface Spent { readonly nanos: number; readonly operations: number }

/** How long each case is measured: until both are reached. */
export interface Effort {
  readonly seconds: number;
  readonly samplesMin: number;
  readonly signal?: AbortSignal;
}

export type Described = Pick<MicroRow, 'group' | 'name' | 'bytes'>;

function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? NaN;
  return below + ((sorted[Math.ceil(at)] ?? NaN) - below) * (at - Math.floor(at));
}

/** One sample a batch; every batch of a case has the same number of operations. */
export async function sample(described: Described, batch: Batch, effort: Effort):
Promise<MicroRow> {
  const { Bench } = await import('tinybench');
  let operations = 0;
  const bench = new Bench({
    time: effort.seconds * 1000, iterations: effort.samplesMin, throws: true,
    warmupTime: effort.seconds * 200, warmupIterations: Math.ceil(effort.samplesMin / 4),
    ...(effort.signal === undefined ? {} : { signal: effort.signal }),
  });
  bench.add(described.name, async () => {
    const spent = await batch();
    operations = spent.operations;
    return { overriddenDuration: spent.nanos / 1e6 };
  });
  await bench.run();
  effort.signal?.throwIfAborted();
  const latencies = bench.tasks[0]?.result?.latency.samples ?? [];
  const each = latencies.map((ms) => ms * 1e6 / operations).sort((a, b) => a - b);
  if (each.length === 0) throw new Error(`no samples of '${described.name}'`);
  return {
    ...described, samples: each.length,
    median: quantile(each, 0.5), low: quantile(each, 0.25), high: quantile(each, 0.75),
  };
}
