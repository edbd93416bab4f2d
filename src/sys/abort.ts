import type { Clock } from "./clock.ts";

/**
 * The result of `work`, unless the signal aborts first: then its reason is thrown, and what becomes
 * of the work is nobody's business any more.
 */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined);
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}

/** Waits for `work`, but no longer than so many milliseconds; it goes on then. Rejects as the work does. */
export async function settleWithin(
  work: Promise<unknown>,
  ms: number,
  clock: Pick<Clock, "sleep">,
): Promise<void> {
  await valueWithin(work, ms, clock, undefined);
}

/** What the work gives, or `late` after so many milliseconds; the work goes on then. */
export async function valueWithin<T>(
  work: Promise<T>,
  ms: number,
  clock: Pick<Clock, "sleep">,
  late: T,
): Promise<T> {
  // A timer left behind would keep the process from ending.
  const enough = new AbortController();
  const sleep = clock.sleep(ms, enough.signal).then(
    () => late,
    () => late,
  );
  try {
    return await Promise.race([work, sleep]);
  } finally {
    enough.abort();
  }
}
