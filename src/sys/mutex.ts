import { beginStep, waiting } from "./call-trace.ts";

/** One queue for each key: work under the same key never overlaps, other keys never wait. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs `work` when all earlier work under `key` has settled; its result or error is passed on. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const wait = before === undefined ? undefined : beginStep("wait", lockName(key));
    const result = (before ?? Promise.resolve()).then(() => {
      wait?.end();
      return work();
    });
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    this.#tails.set(key, tail);
    try {
      return await result;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }

  /** True while work under `key` runs or waits. */
  held(key: string): boolean {
    return this.#tails.has(key);
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
  readonly #waiting: (() => void)[] = [];
  constructor(limit: number) {
    this.#free = limit;
  }
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await waiting("queue", () => this.#turn());
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
  #turn(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** Keys are "sandbox:<name>", "container:<name>", "image:<id>": which one it is, the call says. */
function lockName(key: string): string {
  const colon = key.indexOf(":");
  return colon < 0 ? "lock" : `lock ${key.slice(0, colon)}`;
}
