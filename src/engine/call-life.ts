import type { EngineCall } from "./call.ts";
import { EngineError } from "./errors.ts";
import type { EngineFailure } from "./errors.ts";

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
  readonly #call: EngineCall;
  #timer: NodeJS.Timeout | undefined;
  #sent = false;

  constructor(call: EngineCall, closed: AbortSignal) {
    const { operation } = call;
    this.#call = call;
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
  }

  /** Waits for a place at the engine, which has a limit of its own: the budget is Docker's. */
  async inQueue<T>(limitMs: number, work: () => Promise<T>): Promise<T> {
    const { operation, lane } = this.#call;
    this.#after(limitMs, "busy", `${operation}: no place for it in the lane "${lane}" of docker`);
    try {
      return await work();
    } finally {
      this.dropDeadline();
    }
  }

  /** The request goes out now: its budget begins. A repetition is part of the same budget. */
  sending(): void {
    const { operation, timeoutMs } = this.#call;
    if (this.#sent || timeoutMs === undefined) return;
    this.#sent = true;
    this.#after(timeoutMs, "timeout", `${operation}: no answer from docker`);
  }

  #after(ms: number, failure: EngineFailure, what: string): void {
    const { operation } = this.#call;
    this.#timer = setTimeout(
      () => {
        const message = `${what} within ${Math.round(ms)} ms`;
        this.#controller.abort(new EngineError({ failure, operation, message }));
      },
      Math.min(ms, longestTimerMs),
    );
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
