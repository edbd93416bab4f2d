import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Sleeper } from "./sleeper.ts";

const EACH_MS = 20;
/** After a failure; for one image it doubles with each more. */
const AGAIN_MS = 5_000;
const LONGEST_MS = 300_000;
const FOLLOWED_AGAIN_MS = 1_000;

export interface ImageQueueDeps {
  log: Logger;
  sleeper: Sleeper;
  signal: AbortSignal;
  /** Whether the engine answers and its events are heard: only then is asked what nobody waits for. */
  followed: () => boolean;
  /** Inspects an image. */
  look: (id: string) => Promise<unknown>;
  /** Whether an image that could not be inspected is there still, and still to be inspected. */
  isWanted: (id: string) => boolean;
}

/** Images to be inspected in the background, one by one and not too fast. */
export class ImageQueue {
  readonly #deps: ImageQueueDeps;
  readonly #ids = new Set<string>();
  /** Milliseconds until those that could not be inspected are tried again. */
  readonly #postponed = new Map<string, number>();
  #atWork = false;

  constructor(deps: ImageQueueDeps) {
    this.#deps = deps;
  }

  /** `work` begins with it. */
  add(id: string): void {
    this.#ids.add(id);
  }

  /** It has been inspected, or is gone. */
  delete(id: string): void {
    this.#ids.delete(id);
    this.#postponed.delete(id);
  }

  work(): void {
    if (!this.#atWork) void this.#workOff();
  }

  async #workOff(): Promise<void> {
    this.#atWork = true;
    const { sleeper, signal, followed, look } = this.#deps;
    const ended = (): boolean => signal.aborted;
    for (const id of this.#ids) {
      while (!followed() && !ended()) await sleeper.pause(FOLLOWED_AGAIN_MS);
      if (ended()) break;
      let pauseMs = EACH_MS;
      if (!this.#ids.delete(id)) continue;
      try {
        await look(id);
      } catch (error) {
        if (ended()) break;
        this.#postpone(id, error);
        pauseMs = AGAIN_MS;
      }
      await sleeper.pause(pauseMs);
    }
    this.#atWork = false;
  }

  /** An image may be one that Docker can never inspect: it is asked ever less often, and told of once. */
  #postpone(id: string, error: unknown): void {
    const { log, sleeper, isWanted } = this.#deps;
    const before = this.#postponed.get(id);
    const level = before === undefined ? "warn" : "debug";
    log[level]({ image: id, error: errorText(error) }, "image inspect failed");
    const ms = Math.min((before ?? AGAIN_MS / 2) * 2, LONGEST_MS);
    this.#postponed.set(id, ms);
    sleeper.after(ms, () => {
      if (!isWanted(id)) return;
      this.#ids.add(id);
      this.work();
    });
  }
}
