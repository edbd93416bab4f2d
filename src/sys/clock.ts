/** Time as a part receives it, so that tests can step it. */
export interface Clock {
  /** Wall clock, nanoseconds since the epoch (CRI timestamps). */
  nowNs(): bigint;
  /** Monotonic milliseconds, for deadlines and ages; never goes back when the wall clock is set. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

const originNs = BigInt(Math.round(performance.timeOrigin * 1e6));

export const systemClock: Clock = {
  // Date.now() follows a wall clock that is set; the monotonic part below it only adds digits.
  nowNs: () =>
    BigInt(Date.now()) * 1_000_000n +
    ((originNs + BigInt(Math.round(performance.now() * 1e6))) % 1_000_000n),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
};
