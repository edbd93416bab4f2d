import type { Clock } from "../sys/clock.ts";
import type { ResumedLog } from "./container-logs.ts";

/** Pause between two tries. */
const RETRY_MS = 5000;
/** The same while somebody waits. */
const HURRIED_RETRY_MS = 100;

/** Logs that could not be gone on with after a restart, as on a disk that is full: they are tried again. */
export class OwedResumes {
  readonly #owed = new Map<string, ResumedLog>();
  readonly #clock: Clock;
  readonly #resume: (target: ResumedLog) => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #trying: Promise<void> | undefined;
  #closed = false;

  /** `resume` works under the container's lock: asks `has`, for it may have been removed, and then forgets it. */
  constructor(clock: Clock, resume: (target: ResumedLog) => Promise<void>) {
    this.#clock = clock;
    this.#resume = resume;
  }

  has(containerId: string): boolean {
    return this.#owed.has(containerId);
  }

  add(target: ResumedLog): void {
    if (this.#closed) return;
    this.#owed.set(target.containerId, target);
    this.#timer ??= setInterval(() => {
      this.#trying ??= this.#tryAll().finally(() => (this.#trying = undefined));
    }, RETRY_MS).unref();
  }

  forget(containerId: string): void {
    this.#owed.delete(containerId);
  }

  /** Tries one now; nothing for one that is not owed. */
  async try(containerId: string): Promise<void> {
    const target = this.#owed.get(containerId);
    if (target !== undefined) await this.#resume(target);
  }

  /** Tries one until it is not owed any more; false after that time. */
  async settle(containerId: string, timeoutMs: number): Promise<boolean> {
    const untilMs = this.#clock.monotonicMs() + timeoutMs;
    for (;;) {
      try {
        await this.try(containerId);
        return true;
      } catch {
        if (this.#clock.monotonicMs() >= untilMs) return false;
        await this.#clock.sleep(HURRIED_RETRY_MS);
      }
    }
  }

  async #tryAll(): Promise<void> {
    for (const containerId of [...this.#owed.keys()])
      await this.try(containerId).catch(() => undefined);
    if (this.#owed.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Ends the tries, the one under way too. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#owed.clear();
    await this.#trying;
  }
}
