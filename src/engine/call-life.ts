import type { EngineCall } from "./call.ts";
import { EngineError } from "./errors.ts";

/** A longer Node timer would fire at once. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * What may end a request early, as one signal: its deadline, its caller, or the transport's close.
 * The signal's reason is the EngineError to reject with. `end` must be called on every path.
 */
export class CallLife {
  readonly #controller = new AbortController();
  readonly #sources: AbortSignal[];
  readonly #onAbort: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(call: EngineCall, closed: AbortSignal) {
    const { operation, timeoutMs } = call;
    this.#onAbort = () => {
      const who = closed.aborted ? "the engine client was closed" : "given up by its caller";
      const message = `${operation}: ${who}`;
      this.#controller.abort(new EngineError({ failure: "aborted", operation, message }));
    };
    this.#sources = call.signal === undefined ? [closed] : [closed, call.signal];
    for (const source of this.#sources) {
      if (source.aborted) this.#onAbort();
      else source.addEventListener("abort", this.#onAbort, { once: true });
    }
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(
        () => {
          const message = `${operation}: no answer from docker within ${timeoutMs} ms`;
          this.#controller.abort(new EngineError({ failure: "timeout", operation, message }));
        },
        Math.min(timeoutMs, longestTimerMs),
      );
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** A stream has begun: from here on only its caller ends it. */
  dropDeadline(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  end(): void {
    this.dropDeadline();
    for (const source of this.#sources) source.removeEventListener("abort", this.#onAbort);
  }
}
