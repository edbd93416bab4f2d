/** Time as a part receives it, so that tests can step it. */
export interface Clock {
  /** Wall clock, nanoseconds since the epoch (CRI timestamps). */
  nowNs(): bigint;
  /** Monotonic milliseconds, for deadlines and ages; never goes back when the wall clock is set. */
  monotonicMs(): number;
  /** Resolves after `ms`, however many; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Node takes a longer timer for one of a millisecond. */
const longestTimerMs = 2 ** 31 - 1;

/** Between the wall clock and ours; more than this and somebody has set it. */
const WALL_SET_MS = 2;
/** Two readings are close that were taken within this time; so many are tried. */
const CLOSE_MS = 1;
const READINGS = 3;
/** Wall clock less monotonic clock, in milliseconds. */
let offsetMs = performance.timeOrigin;

/** Date.now() is whole milliseconds, cut off. */
const isSet = (monotonicMs: number, wallMs: number): boolean =>
  Math.abs(offsetMs + monotonicMs - wallMs - 0.5) > WALL_SET_MS;

/** A pause of this process between two readings looks like a clock that was set: only close ones tell. */
function followWallClock(): void {
  for (let tries = 0; tries < READINGS; tries += 1) {
    const monotonicMs = performance.now();
    const wallMs = Date.now();
    if (performance.now() - monotonicMs > CLOSE_MS) continue;
    if (isSet(monotonicMs, wallMs)) offsetMs = wallMs - monotonicMs;
    return;
  }
}

export const systemClock: Clock = {
  // The monotonic clock's digits on the wall clock's time: never back unless the wall clock is set.
  nowNs: () => {
    const monotonicMs = performance.now();
    if (isSet(monotonicMs, Date.now())) followWallClock();
    // Apart, for as one double the sum would have no digit below 200 ns.
    return BigInt(Math.round(offsetMs * 1e3)) * 1_000n + BigInt(Math.round(monotonicMs * 1e6));
  },
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
      const endMs = performance.now() + ms;
      const wait = (leftMs: number): NodeJS.Timeout =>
        setTimeout(
          () => {
            if (leftMs > longestTimerMs) {
              timer = wait(endMs - performance.now());
              return;
            }
            signal?.removeEventListener("abort", onAbort);
            resolve();
          },
          Math.min(leftMs, longestTimerMs),
        );
      let timer = wait(ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
};
