import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import { KeyedMutex, Semaphore } from "../sys/mutex.ts";
import type { Follower } from "./follower.ts";
import { LogLanes, type Lane } from "./lanes.ts";
import type { Round } from "./pump.ts";
import { createWorkspace, type Workspace } from "./workspace.ts";

/** Looks at a container that prints are this far apart, so that lines come in batches. */
const TICK_MS = 20;
/** The same after a rotation: with small files the next ones may be gone a tick later. */
const HURRIED_TICK_MS = 2;
/** All containers are looked at this often, should an event have been lost or no watch be possible. */
const SWEEP_MS = 5000;
/** Positions are looked through this often and saved when much was written since, */
const SAVE_MS = 1000;
const MUCH_BYTES = 256 * 1024;
/** or after so many rounds: with hundreds of containers that print little, saving is the main cost. */
const SAVE_ROUNDS = 5;
/** Rounds at once on local disks. */
const WORKSPACES = 2;

/**
 * Decides when each follower looks at its source: at once on an event after a silence, then every
 * tick until nothing comes any more. Timers are shared by all; with no output there is the sweep.
 */
export class Schedule {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #locks = new KeyedMutex();
  readonly #local = new Semaphore(WORKSPACES);
  readonly #lanes: LogLanes;
  /** Device numbers are given away again: what one stands for is looked up for each file. */
  readonly #laneOf = new WeakMap<Follower, { device: bigint; lane: Lane | undefined }>();
  readonly #spaces: Workspace[] = [];
  readonly #followers: () => Iterable<Follower>;
  readonly #active = new Set<Follower>();
  readonly #dirty = new Set<Follower>();
  readonly #background = new Set<Promise<void>>();
  #tick: NodeJS.Timeout | undefined;
  #saving: NodeJS.Timeout | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(deps: { clock: Clock; log: Logger; followers: () => Iterable<Follower> }) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#followers = deps.followers;
    this.#lanes = new LogLanes(deps.log);
  }

  /** Runs `work` while no round of this container does. */
  exclusive<T>(containerId: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(containerId, work);
  }

  /** Runs work on a follower's log file when its file system is free for it. */
  onFile<T>(follower: Follower, work: () => Promise<T>): Promise<T> {
    return this.#lane(follower)?.run(work) ?? work();
  }

  #lane(follower: Follower): Lane | undefined {
    const { device } = follower.pump;
    let known = this.#laneOf.get(follower);
    if (known?.device !== device) {
      known = { device, lane: this.#lanes.of(device) };
      this.#laneOf.set(follower, known);
    }
    return known.lane;
  }

  /** Mount points of container logs that do not answer. */
  get hung(): string[] {
    return this.#lanes.hung;
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
    return this.exclusive(follower.pump.target.containerId, async () => {
      if (follower.closed || follower.pump.drained)
        return { bytes: 0, atEnd: true, rotated: false };
      const lane = this.#lane(follower) ?? this.#local;
      const round = await lane.run(async () => {
        const space = this.#spaces.pop() ?? createWorkspace();
        try {
          return await follower.pump.round(space);
        } finally {
          this.#spaces.push(space);
        }
      });
      if (follower.pump.dirty) this.#saveSoon(follower);
      return round;
    });
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
    this.#inBackground(this.#look(follower));
  }

  async #look(follower: Follower): Promise<void> {
    follower.events = 0;
    let quiet = false;
    let rotated = false;
    try {
      let round: Round;
      let bytes = 0;
      do {
        round = await this.round(follower);
        bytes += round.bytes;
        rotated ||= round.rotated;
      } while (!round.atEnd && !this.#closed && !follower.closed);
      if (follower.failures > 0)
        this.#log.info({ containerId: follower.pump.target.containerId }, "container log resumed");
      follower.succeeded();
      // With the watch on, what comes after the last read makes an event. With a watch just turned
      // on there is one more look; where none is possible the sweep has to do.
      if (follower.watch.isOn) quiet = follower.events === 0;
      else if (bytes === 0 && !follower.closed) quiet = !follower.watch.turnOn();
    } catch (error) {
      follower.failed(this.#clock.monotonicMs());
      if (follower.failures === 1)
        this.#log.warn(
          { containerId: follower.pump.target.containerId, error: errorText(error) },
          "container log can not be written, will be tried again",
        );
    } finally {
      follower.running = false;
      follower.lastLookMs = this.#clock.monotonicMs();
      if (quiet || follower.closed || follower.pump.drained) this.#active.delete(follower);
      else this.#tickIn(rotated ? HURRIED_TICK_MS : TICK_MS);
    }
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
    for (const follower of this.#active) {
      if (follower.running) continue;
      if (nowMs >= follower.notBeforeMs) this.#run(follower);
      else waiting = true;
    }
    if (waiting) this.#tickIn(TICK_MS * 5);
  };

  readonly #onSweep = (): void => {
    for (const follower of this.#followers()) if (!follower.pump.drained) this.notify(follower);
  };

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
    this.#inBackground(this.#saveAll(due));
  };

  async #saveAll(due: Follower[]): Promise<void> {
    for (const follower of due) {
      const { containerId } = follower.pump.target;
      try {
        await this.exclusive(containerId, async () => {
          if (!follower.closed && follower.pump.dirty) await follower.pump.save();
        });
      } catch (error) {
        this.#log.warn(
          { containerId, error: errorText(error) },
          "container log position can not be saved, will be tried again",
        );
        this.#saveSoon(follower);
      }
    }
  }
}
