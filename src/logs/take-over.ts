import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";

/** Before all logs are gone on with again where that failed, as with a journal that can not be read. */
const AGAIN_MS = 3000;

/** A thread goes on with all logs: repeated until it succeeds, as nobody else asks for it. */
export class TakeOver<Worker> {
  readonly #log: Logger;
  readonly #goOn: () => Promise<undefined>;
  readonly #isCurrent: (worker: Worker) => boolean;

  /** @param isCurrent false: another thread has to, or none any more */
  constructor(log: Logger, goOn: () => Promise<undefined>, isCurrent: (worker: Worker) => boolean) {
    this.#log = log;
    this.#goOn = goOn;
    this.#isCurrent = isCurrent;
  }

  /** @returns the first try */
  run(worker: Worker): Promise<undefined> {
    const work = this.#goOn();
    work.catch((error: unknown) => {
      this.failed(worker, error);
    });
    return work;
  }

  /** Says so, and tries later. */
  failed(worker: Worker, error: unknown): void {
    if (!this.#isCurrent(worker)) return;
    const what = "container logs can not be gone on with, will be tried again";
    this.#log.error({ error: errorText(error) }, what);
    setTimeout(() => {
      // Who waited for the first try has its error.
      if (this.#isCurrent(worker)) this.run(worker).catch(() => undefined);
    }, AGAIN_MS).unref();
  }
}
