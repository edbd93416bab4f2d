import { join } from "node:path";
import { errorText, notFound } from "../errors.ts";
import type { Logger } from "../log.ts";
import { settleWithin, valueWithin } from "../sys/abort.ts";
import type { Clock } from "../sys/clock.ts";
import { Semaphore } from "../sys/mutex.ts";
import type { ContainerLogs, LogLag, ResumedLog } from "./container-logs.ts";
import { Follower } from "./follower.ts";
import { askFolders, type MustAnswer } from "./log-folders.ts";
import { LogLinks } from "./links.ts";
import { OwedResumes } from "./owed-resumes.ts";
import { PositionJournal, type Touch } from "./position-journal.ts";
import { Pump } from "./pump.ts";
import type { PumpCounts } from "./pump-parts.ts";
import { Schedule } from "./schedule.ts";
import { nextTurn } from "../sys/turns.ts";

/** Bytes of files that Docker deleted and a slow pump still holds, for each container. */
const MOST_UNLINKED_BYTES = 64 * 1024 * 1024;
/** How long a reopening or a removal waits for what a restart left to be followed again. */
const RESUME_WAIT_MS = 10_000;
/** Pause between two tries to drain into a disk that is full. */
const DRAIN_RETRY_MS = 100;

export interface PumpsDeps {
  /** Dockline's own folder; positions are kept in `logs` below it. */
  stateDir: string;
  clock: Clock;
  log: Logger;
  /** `resume` will be called: until then no log counts as complete. */
  resumes?: boolean;
  /** Asked before the files of a log are opened again; default: every folder answers. */
  mustAnswer?: MustAnswer;
  /** Called with each path before it is touched. */
  touch?: Touch;
}

/** In this thread, with synchronous I/O: the daemon has them in a worker (`worker-logs.ts`). */
export class Pumps implements ContainerLogs {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #positions: PositionJournal;
  readonly #touch: Touch;
  readonly #schedule: Schedule;
  readonly #followers = new Map<string, Follower>();
  readonly #links: LogLinks;
  /** What is about to be gone on with. */
  readonly #coming = new Map<string, Promise<void>>();
  readonly #oneByOne = new Semaphore(1);
  readonly #owed: OwedResumes;
  readonly #counts: PumpCounts = { pumpedBytes: 0n, lostBytes: 0n, unreadable: 0 };
  readonly #resumed: Promise<void>;
  readonly #mustAnswer: MustAnswer;
  #allResumed: () => void = () => undefined;

  constructor(deps: PumpsDeps) {
    this.#resumed =
      deps.resumes === true
        ? new Promise((resolve) => (this.#allResumed = resolve))
        : Promise.resolve();
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#mustAnswer = deps.mustAnswer ?? (() => Promise.resolve());
    this.#touch = deps.touch ?? (() => undefined);
    this.#links = new LogLinks(deps.log, this.#touch);
    this.#positions = new PositionJournal({ ...deps, folder: join(deps.stateDir, "logs") });
    this.#owed = new OwedResumes(deps.clock, (target) => this.#resumeOwed(target));
    this.#schedule = new Schedule({
      clock: deps.clock,
      log: deps.log,
      positions: this.#positions,
      followers: () => this.#followers.values(),
    });
  }

  async start(target: ResumedLog): Promise<void> {
    this.#positions.open();
    await this.#schedule.exclusive(target.containerId, async () => {
      await this.#begin(target, { resumes: target.running === true, starts: true });
      this.#owed.forget(target.containerId);
    });
  }

  /** To be called under the container's lock. */
  async #begin(target: ResumedLog, options: { resumes: boolean; starts: boolean }): Promise<void> {
    if (target.format === "docker-json") {
      this.#links.make(target);
      return;
    }
    const present = this.#followers.get(target.containerId);
    if (present !== undefined) {
      if (options.starts) await present.pump.wake();
      this.#schedule.notify(present);
      return;
    }
    const pump = new Pump(target, {
      clock: this.#clock,
      log: this.#log,
      positions: this.#positions,
      counts: this.#counts,
      mostUnlinkedBytes: MOST_UNLINKED_BYTES,
      touch: this.#touch,
    });
    try {
      const { resumes } = options;
      if (!(await pump.open({ resumes, running: target.running === true }))) return;
      if (pump.drained && options.starts) await pump.wake();
    } catch (error) {
      try {
        pump.close();
      } catch {
        // What is wrong has been said by then.
      }
      throw error;
    }
    const follower = new Follower(pump, (one) => {
      this.#schedule.notify(one);
    });
    this.#followers.set(target.containerId, follower);
    if (!pump.drained) {
      follower.watch.turnOn();
      this.#schedule.notify(follower);
    }
  }

  async drain(containerId: string, timeoutMs: number): Promise<boolean> {
    return await valueWithin(
      this.#drainKnown(containerId, timeoutMs),
      timeoutMs,
      this.#clock,
      false,
    );
  }

  async #drainKnown(containerId: string, timeoutMs: number): Promise<boolean> {
    if (!this.#followers.has(containerId)) await this.#known(containerId);
    if (!(await this.#owed.settle(containerId, timeoutMs))) return false;
    const follower = this.#followers.get(containerId);
    return follower === undefined || this.#drainAll(follower, timeoutMs);
  }

  /** Settles when what a restart left has been taken up as far as this container goes. */
  #known(containerId: string): Promise<void> {
    return this.#coming.get(containerId) ?? this.#resumed;
  }

  /** After a restart a container is known once it has been resumed. */
  async #untilKnown(containerId: string): Promise<void> {
    if (this.#followers.has(containerId) || this.#links.has(containerId)) return;
    await settleWithin(this.#known(containerId), RESUME_WAIT_MS, this.#clock);
  }

  async #drainAll(follower: Follower, timeoutMs: number): Promise<boolean> {
    const untilMs = this.#clock.monotonicMs() + timeoutMs;
    const { containerId } = follower.pump.target;
    while (!follower.closed && !follower.pump.drained) {
      try {
        if ((await this.#schedule.round(follower)).atEnd) {
          await this.#schedule.exclusive(containerId, () => {
            if (follower.closed || follower.pump.drained) return;
            follower.pump.finish();
            follower.watch.turnOff();
          });
          return true;
        }
      } catch (error) {
        this.#log.debug({ containerId, error: errorText(error) }, "log drain is retried");
        await this.#clock.sleep(DRAIN_RETRY_MS);
      }
      if (this.#clock.monotonicMs() >= untilMs) {
        this.#schedule.notify(follower);
        return false;
      }
    }
    return follower.pump.drained;
  }

  async reopen(containerId: string): Promise<void> {
    await this.#untilKnown(containerId);
    await this.#owed.try(containerId);
    await this.#schedule.exclusive(containerId, () => {
      if (this.#links.makeAgain(containerId)) return;
      const follower = this.#followers.get(containerId);
      if (follower !== undefined) follower.pump.reopen();
      else throw notFound(`reopen log of container ${containerId}: it is not followed`);
    });
  }

  async remove(containerId: string): Promise<void> {
    await this.#untilKnown(containerId);
    this.#positions.open();
    await this.#schedule.exclusive(containerId, () => {
      this.#coming.delete(containerId);
      this.#owed.forget(containerId);
      this.#links.remove(containerId);
      const follower = this.#followers.get(containerId);
      if (follower !== undefined) this.#letGo(follower);
      this.#positions.forget(containerId);
    });
  }

  /** To be called under the container's lock. */
  #letGo(follower: Follower): void {
    follower.closed = true;
    follower.watch.turnOff();
    this.#schedule.forget(follower);
    this.#followers.delete(follower.pump.target.containerId);
    follower.pump.close();
  }

  /** @param kept containers beside the targets whose positions stay */
  async resume(targets: ResumedLog[], kept: readonly string[] = []): Promise<void> {
    this.#positions.open();
    const known = new Set([...kept, ...targets.map((target) => target.containerId)]);
    // One that has been started since the targets were looked for is none that is gone.
    this.#positions.forgetAllBut((id) => known.has(id) || this.#followers.has(id));
    await this.adopt(targets);
    this.#allResumed();
  }

  /** Goes on with these as `resume` does, and says nothing of all others. */
  async adopt(targets: ResumedLog[]): Promise<void> {
    this.#positions.open();
    const answers = askFolders(targets, this.#mustAnswer);
    await Promise.all(
      targets.map((target) => {
        const { containerId, logDirectory } = target;
        const isWanted = (): boolean => this.#coming.get(containerId) === work;
        const begun = this.#beginOne(target, answers.get(logDirectory), isWanted);
        const work = begun.finally(() => isWanted() && this.#coming.delete(containerId));
        this.#coming.set(containerId, work);
        return work;
      }),
    );
  }

  /** @param isWanted false: it has been removed meanwhile, or another call has it */
  async #beginOne(
    target: ResumedLog,
    folder: Promise<void> | undefined,
    isWanted: () => boolean,
  ): Promise<void> {
    try {
      await folder;
      await this.#oneByOne.run(async () => {
        await nextTurn();
        await this.#schedule.exclusive(target.containerId, async () => {
          if (isWanted()) await this.#begin(target, { resumes: true, starts: false });
        });
      });
    } catch (error) {
      if (isWanted()) this.#owe(target, error);
    }
  }

  #owe(target: ResumedLog, error: unknown): void {
    const { containerId } = target;
    this.#owed.add(target);
    const what = "container log can not be resumed, will be tried again";
    this.#log.error({ containerId, error: errorText(error) }, what);
  }

  async #resumeOwed(target: ResumedLog): Promise<void> {
    const { containerId, logDirectory } = target;
    await this.#mustAnswer(logDirectory);
    await this.#schedule.exclusive(containerId, async () => {
      if (!this.#owed.has(containerId)) return;
      await this.#begin(target, { resumes: true, starts: false });
      this.#owed.forget(containerId);
      this.#log.info({ containerId }, "container log resumed");
    });
  }

  lag(): LogLag {
    const open = [...this.#followers.values()].filter(({ pump }) => !pump.drained);
    const containers = open.length;
    const bytesBehind = open.reduce((sum, { pump }) => sum + pump.bytesBehind, 0);
    const { lostBytes, pumpedBytes, unreadable } = this.#counts;
    const unreadableLines = BigInt(unreadable);
    return { containers, bytesBehind, lostBytes, pumpedBytes, unreadableLines, hung: [] };
  }

  async close(): Promise<void> {
    await this.#owed.close();
    await this.#schedule.close();
    for (const follower of [...this.#followers.values()]) {
      const { containerId } = follower.pump.target;
      try {
        await this.#schedule.exclusive(containerId, () => {
          this.#letGo(follower);
        });
      } catch (error) {
        const what = "container log position can not be saved";
        this.#log.warn({ containerId, error: errorText(error) }, what);
      }
    }
    this.#links.clear();
    this.#positions.close();
  }
}
