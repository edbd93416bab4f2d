import { beginStep, waiting } from "./call-trace.ts";

/** One queue for each key: work under the same key never overlaps, other keys never wait. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();

  /** True while work under `key` is under way or waits. */
  isHeld(key: string): boolean {
    return this.#tails.has(key);
  }

  /**
   * Runs `work` when all earlier work under `key` has settled; its result or error is passed on. A
   * caller whose signal aborts while it waits gets the signal's reason at once, and its work is never
   * begun; what has begun goes on whatever the signal says.
   */
  async run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const before = this.#tails.get(key);
    const wait = before === undefined ? undefined : beginStep("wait", lockName(key));
    const state = { begun: false };
    const turn = (before ?? Promise.resolve()).then(() => {
      wait?.end();
      signal?.throwIfAborted();
      state.begun = true;
      return work();
    });
    const result =
      signal === undefined ? turn : unlessAbortedBefore(turn, signal, () => state.begun);
    const tail = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#tails.set(key, tail);
    const forget = (): void => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    };
    void tail.then(forget);
    try {
      return await result;
    } finally {
      if (state.begun) forget();
    }
  }
}

/** The result of `turn`, or the signal's reason when it aborts before the turn has come. */
async function unlessAbortedBefore<T>(
  turn: Promise<T>,
  signal: AbortSignal,
  begun: () => boolean,
): Promise<T> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      if (!begun()) reject(signal.reason as Error);
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([turn, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}

/** Joins equal calls: while one is under way for a key, later callers get its result. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  run(key: string, work: () => Promise<T>): Promise<T> {
    const running = this.#flights.get(key);
    if (running !== undefined) return waiting("answer under way", () => running);
    const flight = work().finally(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    this.#flights.set(key, flight);
    return flight;
  }
}

/** At most `limit` pieces of work at once; the rest wait in order. */
export class Semaphore {
  #free: number;
  readonly #waitingFor: string;
  readonly #waiting = new Set<() => void>();

  /** @param waitingFor what a trace shows while somebody waits */
  constructor(limit: number, waitingFor = "queue") {
    this.#free = limit;
    this.#waitingFor = waitingFor;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    const leave = await this.enter();
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** Resolves with the function that gives the place back; rejects with the signal's reason. */
  async enter(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await waiting(this.#waitingFor, () => this.#turn(signal));
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#leave();
    };
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(go);
        reject(signal?.reason as Error);
      };
      const go = (): void => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      this.#waiting.add(go);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free += 1;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}

/** Keys are "sandbox:<name>", "container:<name>", "image:<id>": which one it is, the call says. */
function lockName(key: string): string {
  const colon = key.indexOf(":");
  return colon < 0 ? "lock" : `lock ${key.slice(0, colon)}`;
}
