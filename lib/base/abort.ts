/** Settles as `work` does, or rejects with the signal's reason before. */
export async function unlessAborted(
  work: Promise<unknown>, signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  if (signal === undefined) return void await work;
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_, fail) => {
    abort = () => fail(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
