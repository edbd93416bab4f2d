import { Worker } from "node:worker_threads";
import { TouchedPath } from "./touched-path.ts";
import { workerProgram } from "./worker-program.ts";
import { areYouThere, type WorkerStart } from "./worker-start.ts";
import { valueWithin } from "./abort.ts";
import { systemClock } from "./clock.ts";

/** How often a worker is asked whether it is there, and how often in vain before it counts as hung: 10 s. */
const ASK_MS = 1000;
const MOST_MISSED = 10;
/** The same until it has begun: its files come from a disk that may be busy at the start of a node. */
const MOST_MISSED_AT_START = 60;
/** What it keeps is small; a leak ends it, and not the process. */
const LIMITS = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 3 };

export interface WorkerEvents {
  message(message: unknown): void;
  /** It has not answered for 10 s. The path is what it touched last; it touches no other one after this. */
  hung(path: string): void;
  /** It ended, by an error or by itself; nothing comes after this. */
  ended(error: Error | undefined): void;
}

/** All that run, to be ended with the process. */
const running = new Set<WatchedWorker>();

/** A thread that is asked every second whether it is there. It keeps no process from ending by itself. */
export class WatchedWorker {
  readonly #worker: Worker;
  readonly #events: WorkerEvents;
  readonly #touched = new TouchedPath();
  readonly #asking: NodeJS.Timeout;
  /** Settles when the thread has ended. */
  readonly whenEnded: Promise<void>;
  #hasBegun = false;
  #missed = 0;
  #waits = false;

  constructor(kind: string, data: unknown, events: WorkerEvents) {
    this.#events = events;
    const workerData: WorkerStart = { kind, touched: this.#touched.shared, data };
    const { program, eval: isText } = workerProgram();
    this.#worker = new Worker(program, { eval: isText, workerData, resourceLimits: LIMITS });
    this.#worker.unref();
    running.add(this);
    let error: Error | undefined;
    this.#worker.on("error", (thrown: unknown) => {
      error = thrown instanceof Error ? thrown : new Error(String(thrown));
    });
    this.#worker.on("message", (message: unknown) => {
      if (message === areYouThere) this.#answered();
      else events.message(message);
    });
    this.whenEnded = new Promise((resolve) => {
      this.#worker.once("exit", () => {
        clearInterval(this.#asking);
        running.delete(this);
        resolve();
        events.ended(error);
      });
    });
    this.#asking = setInterval(() => this.#ask(), ASK_MS).unref();
    this.#ask();
  }

  post(message: unknown): void {
    this.#worker.postMessage(message);
  }

  /** Ends it; false when it has not ended after that time, as in a system call that hangs. */
  async end(limitMs: number): Promise<boolean> {
    clearInterval(this.#asking);
    this.#touched.giveUp();
    void this.#worker.terminate();
    const ended = this.whenEnded.then(() => true);
    return await valueWithin(ended, limitMs, systemClock, false);
  }

  #answered(): void {
    this.#hasBegun = true;
    this.#waits = false;
    this.#missed = 0;
  }

  /** Counts its own turns and not the time: where the whole process stood still, the worker did too. */
  #ask(): void {
    if (!this.#waits) {
      this.#waits = true;
      this.post(areYouThere);
      return;
    }
    this.#missed += 1;
    if (this.#missed < (this.#hasBegun ? MOST_MISSED : MOST_MISSED_AT_START)) return;
    clearInterval(this.#asking);
    this.#events.hung(this.#touched.giveUp());
  }
}

/**
 * Ends all threads: false when one has not ended after that time. The process can then be ended by SIGKILL
 * alone, as Node waits for its threads.
 */
export async function endWorkers(limitMs: number): Promise<boolean> {
  const ended = await Promise.all([...running].map((worker) => worker.end(limitMs)));
  return !ended.includes(false);
}
