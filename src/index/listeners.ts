import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";

/** Functions that want to hear of something; one that throws is logged and does not stop the rest. */
export class Listeners<T> {
  readonly #listeners = new Set<(value: T) => void>();
  readonly #log: Logger;
  constructor(log: Logger) {
    this.#log = log;
  }

  add(listener: (value: T) => void): () => void {
    // A wrapper of its own, so that adding the same function twice means two subscriptions.
    const own = (value: T): void => {
      listener(value);
    };
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  tell(value: T): void {
    for (const listener of this.#listeners) {
      try {
        listener(value);
      } catch (error) {
        this.#log.error({ error: errorText(error) }, "a listener of the index failed");
      }
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}
