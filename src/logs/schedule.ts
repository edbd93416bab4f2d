import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import { KeyedMutex } from "../sys/mutex.ts";
import type { Follower } from "./follower.ts";
import type { PositionJournal } from "./position-journal.ts";
import type { Round } from "./pump-parts.ts";
import { RoundQueue, TURN_MS } from "./round-queue.ts";
import { createWorkspace } from "./workspace.ts";

/** Looks at a container that prints are this far apart, so that lines come in batches. */
const TICK_MS = 20;
/** The same after a rotation: with small files the next ones may be gone a tick later. */
const HURRIED_TICK_MS = 2;
/** Containers without a watch are looked at this often, and whether each log is still there. */
const SWEEP_MS = 5000;
/** Of so many sweeps one looks at all containers, should an event have been lost. */
const SWEEPS_OF_ALL = 12;
/** Positions are looked through this often and saved when much was written since, */
const SAVE_MS = 1000;
const MUCH_BYTES = 256 * 1024;
/** or after so many rounds. */
const SAVE_ROUNDS = 5;

const nothing: Round = { bytes: 0, atEnd: true, rotated: false };

/** What a look has met so far, in one round or more. */
interface Look {
  bytes: number;
  rotated: boolean;
}

/**
 * Decides when each follower looks at its source: at once on an event after a silence, then every
 * tick until nothing comes any more. Timers are shared by all; a container that is silent costs one
 * look at its descriptor in each sweep.
 */
export class Schedule {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #positions: Pick<PositionJournal, "batch">;
  readonly #locks = new KeyedMutex();
  readonly #queue: RoundQueue;
  readonly #space = createWorkspace();
  readonly #followers: () => Iterable<Follower>;
  readonly #active = new Set<Follower>();
  readonly #dirty = new Set<Follower>();
  readonly #background = new Set<Promise<void>>();
  #tick: NodeJS.Timeout | undefined;
  #saving: NodeJS.Timeout | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #sweeps = 0;
  #closed = false;

  constructor(deps: {
    clock: Clock;
    log: Logger;
    positions: Pick<PositionJournal, "batch">;
    followers: () => Iterable<Follower>;
  }) {
    this.#clock = deps.clock;
    this.#queue = new RoundQueue(deps.clock);
    this.#log = deps.log;
    this.#positions = deps.positions;
    this.#followers = deps.followers;
  }

  /** Runs `work` while no round of this container does. */
  exclusive<T>(containerId: string, work: () => T | Promise<T>): Promise<T> {
    return this.#locks.run(containerId, async () => await work());
  }

  /** Something may have happened to the container's files. */
  notify(follower: Follower): void {
    if (this.#closed || follower.closed) return;
    this.#active.add(follower);
    const nowMs = this.#clock.monotonicMs();
    const idle = !follower.running && nowMs >= follower.notBeforeMs;
    if (idle && nowMs - follower.lastLookMs >= TICK_MS) this.#run(follower);
    else this.#tickIn(TICK_MS);
    this.#sweep ??= setInterval(this.#onSweep, SWEEP_MS).unref();
  }

  /** One round under the container's lock; the error, if any, is the caller's. */
  async round(follower: Follower): Promise<Round> {
    // Whoever asks for many must let others have their turn.
    const round = await this.#queue.run(() =>
      this.#isFree(follower) ? this.#roundNow(follower) : undefined,
    );
    if (round !== undefined) return round;
    return await this.exclusive(follower.pump.target.containerId, async () => {
      if (!follower.pump.isReady) await follower.pump.prepare();
      return this.#roundNow(follower);
    });
  }

  /** A round needs nothing that has to be waited for. */
  #isFree({ pump }: Follower): boolean {
    return pump.isReady && !this.#locks.isHeld(pump.target.containerId);
  }

  #roundNow(follower: Follower): Round {
    if (follower.closed || follower.pump.drained) return nothing;
    const round = follower.pump.round(this.#space);
    if (follower.pump.dirty) this.#saveSoon(follower);
    return round;
  }

  /** Ends all timers and waits for the rounds under way. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#tick);
    clearTimeout(this.#saving);
    clearInterval(this.#sweep);
    this.#active.clear();
    await Promise.all(this.#background);
  }

  forget(follower: Follower): void {
    this.#active.delete(follower);
    this.#dirty.delete(follower);
  }

  #inBackground(work: Promise<void>): void {
    const settled = work
      .catch((error: unknown) => {
        this.#log.error({ error: errorText(error) }, "container log work failed");
      })
      .finally(() => this.#background.delete(settled));
    this.#background.add(settled);
  }

  #run(follower: Follower): void {
    follower.running = true;
    follower.events = 0;
    const look: Look = { bytes: 0, rotated: false };
    try {
      // Nearly always one round is enough, and nothing has to be waited for.
      if (this.#isFree(follower) && isOver(this.#roundNow(follower), look)) {
        this.#succeeded(follower, look);
        return;
      }
    } catch (error) {
      this.#failed(follower, error);
      return;
    }
    this.#inBackground(this.#lookOn(follower, look));
  }

  async #lookOn(follower: Follower, look: Look): Promise<void> {
    try {
      while (!isOver(await this.round(follower), look)) if (this.#closed || follower.closed) break;
      this.#succeeded(follower, look);
    } catch (error) {
      this.#failed(follower, error);
    }
  }

  #succeeded(follower: Follower, { bytes, rotated }: Look): void {
    if (follower.failures > 0)
      this.#log.info({ containerId: follower.pump.target.containerId }, "container log resumed");
    follower.succeeded();
    let quiet = false;
    // With the watch on, what comes after the last read makes an event. With a watch just turned
    // on there is one more look; where none is possible the sweep has to do.
    if (follower.watch.isOn) quiet = follower.events === 0;
    else if (bytes === 0 && !follower.closed && !follower.pump.drained)
      quiet = !follower.watch.turnOn();
    this.#looked(follower, quiet, rotated ? HURRIED_TICK_MS : TICK_MS);
  }

  #failed(follower: Follower, error: unknown): void {
    follower.failed(this.#clock.monotonicMs());
    if (follower.failures === 1)
      this.#log.warn(
        { containerId: follower.pump.target.containerId, error: errorText(error) },
        "container log can not be written, will be tried again",
      );
    this.#looked(follower, false, TICK_MS);
  }

  #looked(follower: Follower, quiet: boolean, nextMs: number): void {
    follower.running = false;
    follower.lastLookMs = this.#clock.monotonicMs();
    if (quiet || follower.closed || follower.pump.drained) this.#active.delete(follower);
    else this.#tickIn(nextMs);
  }

  #tickIn(delayMs: number): void {
    if (this.#closed) return;
    if (delayMs < TICK_MS) {
      clearTimeout(this.#tick);
      this.#tick = undefined;
    }
    this.#tick ??= setTimeout(this.#onTick, delayMs);
  }

  readonly #onTick = (): void => {
    this.#tick = undefined;
    if (this.#closed) return;
    const nowMs = this.#clock.monotonicMs();
    let waiting = false;
    for (const follower of [...this.#active]) {
      if (follower.running) continue;
      if (nowMs < follower.notBeforeMs) {
        waiting = true;
        continue;
      }
      // On a slow disk, or with hundreds that print much, whoever asks this thread is heard first.
      if (this.#clock.monotonicMs() - nowMs > TURN_MS) {
        this.#tickIn(HURRIED_TICK_MS);
        break;
      }
      // To the end of the queue, so that each has its turn.
      this.#active.delete(follower);
      this.#active.add(follower);
      this.#run(follower);
    }
    if (waiting) this.#tickIn(TICK_MS * 5);
  };

  readonly #onSweep = (): void => {
    this.#sweeps += 1;
    const all = this.#sweeps % SWEEPS_OF_ALL === 0;
    for (const follower of this.#followers())
      if (!follower.pump.drained && (all || this.#isMissed(follower))) this.notify(follower);
  };

  /** No event can tell of it: no watch covers its source, or its log was deleted. */
  #isMissed({ watch, pump }: Follower): boolean {
    try {
      return !watch.isOn || pump.isLogGone();
    } catch {
      // A look says why.
      return true;
    }
  }

  #saveSoon(follower: Follower): void {
    this.#dirty.add(follower);
    if (!this.#closed) this.#saving ??= setTimeout(this.#onSave, SAVE_MS);
  }

  readonly #onSave = (): void => {
    this.#saving = undefined;
    if (this.#closed) return;
    const due: Follower[] = [];
    for (const follower of this.#dirty) {
      follower.unsavedRounds += 1;
      if (follower.pump.unsavedBytes < MUCH_BYTES && follower.unsavedRounds < SAVE_ROUNDS) continue;
      this.#dirty.delete(follower);
      follower.unsavedRounds = 0;
      due.push(follower);
    }
    if (this.#dirty.size > 0) this.#saving = setTimeout(this.#onSave, SAVE_MS);
    this.#saveAll(due);
  };

  #saveAll(due: readonly Follower[]): void {
    try {
      this.#positions.batch(() => {
        for (const follower of due)
          if (!follower.closed && follower.pump.dirty) follower.pump.save();
      });
    } catch (error) {
      this.#log.warn(
        { containers: due.length, error: errorText(error) },
        "container log positions can not be saved, will be tried again",
      );
      for (const follower of due) this.#saveSoon(follower);
    }
  }
}

/** Adds a round to a look; true when nothing was left to read. */
function isOver(round: Round, look: Look): boolean {
  look.bytes += round.bytes;
  look.rotated ||= round.rotated;
  return round.atEnd;
}
