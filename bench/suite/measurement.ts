/** A thread that computes for more than this share of the window may be the limit itself. */
export const saturatedShare = 0.9;

/** What one run of one workload on one system showed; a part that was not measured is left out. */
export interface Measurement {
  readonly seconds: number;
  readonly operations: number;
  /** Per second. */
  readonly rate?: number;
  /** Open loop: operations per second that were due. */
  readonly askedRate?: number;
  /** Payload bytes per second, one direction. */
  readonly throughput?: number;
  readonly p50Us?: number;
  readonly p90Us?: number;
  readonly p99Us?: number;
  readonly p999Us?: number;
  readonly maxUs?: number;
  /** CPU of all proxies together in the window. */
  readonly proxyCpuSeconds?: number;
  readonly cpuSecondsPerGb?: number;
  readonly cpuUsPerOperation?: number;
  /** Private user memory that one idle flow costs in one proxy, bytes: mean, near, far. */
  readonly flowBytes?: number;
  readonly flowBytesNear?: number;
  readonly flowBytesFar?: number;
  /** Idle flows that really stood. */
  readonly flows?: number;
  /** Beside bulk: bytes per second of the bulk flows. */
  readonly bulkThroughput?: number;
  /** Beside new tunnels: the same flows without them, just before. */
  readonly calmP50Us?: number;
  readonly calmP99Us?: number;
  /** `p99Us` over `calmP99Us`. */
  readonly stormRatio?: number;
  /** New tunnels per second. */
  readonly stormRate?: number;
  /** At rest: private memory of the near proxy, and what it has over a bare `node`. */
  readonly restBytes?: number;
  readonly restOverNodeBytes?: number;
  /** At rest: processors' worth of time of the near proxy, 0 to 1. */
  readonly restCpuShare?: number;
  /** Of the near proxy, on its side's processors: from its start until it listened. */
  readonly readyMs?: number;
  readonly failures: number;
  readonly corrupt: number;
  readonly firstError: string;
  /** Of the generator's client, its busiest thread, 0 to 1; of its server, all threads together. */
  readonly clientShare: number;
  readonly serverShare: number;
  /**
   * Of the window, 0 to 1: the client's threads were ready and waited for a processor, for which a
   * proxy may have been the rival. Latencies bear it. Older results lack it.
   */
  readonly clientWaitShare?: number;
}
