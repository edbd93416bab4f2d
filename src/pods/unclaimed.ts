const defaultMs = 120_000;
/** Node takes a longer timer for one of a millisecond. */
const longestMs = 2 ** 31 - 1;

/** For tests the environment may set another time; what is no time counts as not set. */
export function abandonedMsOf(asked: string | undefined): number {
  const ms = Number(asked);
  return ms > 0 && ms <= longestMs ? ms : defaultMs;
}

/** A finished sandbox whose caller had gone: for how long it waits to be used, and whether it was. */
export class Unclaimed {
  readonly #waitMs: number;
  readonly #onChange: (isWaiting: boolean) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(waitMs: number, onChange: (isWaiting: boolean) => void) {
    this.#waitMs = waitMs;
    this.#onChange = onChange;
  }

  get isWaiting(): boolean {
    return this.#timer !== undefined;
  }

  /** `discard` is called when nobody claims it in time; it has to claim it then, under the lock. */
  wait(discard: () => void): void {
    this.claim();
    this.#timer = setTimeout(discard, this.#waitMs).unref();
    this.#onChange(true);
  }

  /** Somebody uses it, or was shown it as READY. True when it was waiting until now. */
  claim(): boolean {
    if (this.#timer === undefined) return false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#onChange(false);
    return true;
  }
}
