import { join } from "node:path";
import { CriError, errorText, notFound } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import { ensurePrivateFolder } from "../sys/fs.ts";
import type { ContainerLogs, LogLag, LogTarget, ResumedLog } from "./container-logs.ts";
import { Follower } from "./follower.ts";
import { askFolders, type MustAnswer } from "./log-folders.ts";
import { makeLogLink, removeLogLink } from "./link.ts";
import { resolveLogPath } from "./log-path.ts";
import { OwedResumes } from "./owed-resumes.ts";
import { PositionStore } from "./position.ts";
import { Pump, type PumpCounts } from "./pump.ts";
import { Schedule } from "./schedule.ts";

/** Bytes of files that Docker deleted and a slow pump still holds, for each container. */
const MOST_UNLINKED_BYTES = 64 * 1024 * 1024;
/** How long a reopening or a removal waits for what a restart left to be followed again. */
const RESUME_WAIT_MS = 10_000;
/** Pause between two tries to drain into a disk that is full. */
const DRAIN_RETRY_MS = 100;

interface PumpsDeps {
  /** Dockline's own folder; positions are kept in `logs` below it. */
  stateDir: string;
  clock: Clock;
  log: Logger;
  /** `resume` will be called: until then no log counts as complete. */
  resumes?: boolean;
  /** Asked before the files of a log are opened again; default: every folder answers. */
  mustAnswer?: MustAnswer;
}

export function createContainerLogs(deps: PumpsDeps): ContainerLogs {
  return new Pumps(deps);
}

class Pumps implements ContainerLogs {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #folder: string;
  readonly #positions: PositionStore;
  readonly #schedule: Schedule;
  readonly #followers = new Map<string, Follower>();
  readonly #links = new Map<string, LogTarget>();
  readonly #owed: OwedResumes;
  readonly #counts: PumpCounts = { pumpedBytes: 0n, lostBytes: 0n, unreadable: 0 };
  readonly #resumed: Promise<void>;
  readonly #mustAnswer: MustAnswer;
  #allResumed: () => void = () => undefined;
  #folderMade = false;

  constructor(deps: PumpsDeps) {
    this.#resumed =
      deps.resumes === true
        ? new Promise((resolve) => (this.#allResumed = resolve))
        : Promise.resolve();
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#mustAnswer = deps.mustAnswer ?? (() => Promise.resolve());
    this.#folder = join(deps.stateDir, "logs");
    this.#positions = new PositionStore(this.#folder);
    this.#owed = new OwedResumes(deps.clock, (target) => this.#resumeOwed(target));
    this.#schedule = new Schedule({
      clock: deps.clock,
      log: deps.log,
      followers: () => this.#followers.values(),
    });
  }

  async start(target: ResumedLog): Promise<void> {
    await this.#makeFolder();
    await this.#schedule.exclusive(target.containerId, async () => {
      await this.#begin(target, { resumes: target.running === true, starts: true });
      this.#owed.forget(target.containerId);
    });
  }

  /** To be called under the container's lock. */
  async #begin(target: ResumedLog, options: { resumes: boolean; starts: boolean }): Promise<void> {
    if (target.format === "docker-json") {
      await this.#link(target);
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
    });
    try {
      const { resumes } = options;
      if (!(await pump.open({ resumes, running: target.running === true }))) return;
      if (pump.drained && options.starts) await pump.wake();
    } catch (error) {
      await pump.close().catch(() => undefined);
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

  async #makeFolder(): Promise<void> {
    if (this.#folderMade) return;
    await ensurePrivateFolder(this.#folder);
    this.#folderMade = true;
  }

  async #link(target: LogTarget): Promise<void> {
    const path = resolveLogPath(target.logDirectory, target.logPath);
    this.#links.set(target.containerId, target);
    try {
      await makeLogLink(path, target.sourcePath);
    } catch (error) {
      // As with dockershim, a container is not kept from running for want of a link.
      if (error instanceof CriError && error.kind === "InvalidArgument") throw error;
      this.#log.warn(
        { containerId: target.containerId, error: errorText(error) },
        "container log link can not be made",
      );
    }
  }

  async drain(containerId: string, timeoutMs: number): Promise<boolean> {
    return this.#within(timeoutMs, async () => {
      if (!this.#followers.has(containerId)) await this.#resumed;
      if (!(await this.#owed.settle(containerId, timeoutMs))) return false;
      const follower = this.#followers.get(containerId);
      return follower === undefined || this.#drainAll(follower, timeoutMs);
    });
  }

  /** What the work says, or false after that time; the work goes on then. */
  async #within(timeoutMs: number, work: () => Promise<boolean>): Promise<boolean> {
    const expired = new AbortController();
    const timeout = this.#clock.sleep(timeoutMs, expired.signal).then(
      () => false,
      () => false,
    );
    try {
      return await Promise.race([timeout, work()]);
    } finally {
      expired.abort();
    }
  }

  /** After a restart a container is known once it has been resumed. */
  async #untilKnown(containerId: string): Promise<void> {
    if (this.#followers.has(containerId) || this.#links.has(containerId)) return;
    await this.#within(RESUME_WAIT_MS, () => this.#resumed.then(() => true));
  }

  async #drainAll(follower: Follower, timeoutMs: number): Promise<boolean> {
    const untilMs = this.#clock.monotonicMs() + timeoutMs;
    const { containerId } = follower.pump.target;
    while (!follower.closed && !follower.pump.drained) {
      try {
        if ((await this.#schedule.round(follower)).atEnd) {
          await this.#schedule.exclusive(containerId, async () => {
            if (follower.closed || follower.pump.drained) return;
            await this.#schedule.onFile(follower, () => follower.pump.finish());
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
    await this.#schedule.exclusive(containerId, async () => {
      const link = this.#links.get(containerId);
      const follower = this.#followers.get(containerId);
      if (link !== undefined) await this.#link(link);
      else if (follower !== undefined)
        await this.#schedule.onFile(follower, () => follower.pump.reopen());
      else throw notFound(`reopen log of container ${containerId}: it is not followed`);
    });
  }

  async remove(containerId: string): Promise<void> {
    await this.#untilKnown(containerId);
    await this.#schedule.exclusive(containerId, async () => {
      this.#owed.forget(containerId);
      const link = this.#links.get(containerId);
      if (link !== undefined) {
        await removeLogLink(resolveLogPath(link.logDirectory, link.logPath), link.sourcePath);
        this.#links.delete(containerId);
      }
      const follower = this.#followers.get(containerId);
      if (follower !== undefined) await this.#letGo(follower);
      await this.#positions.forget(containerId);
    });
  }

  /** To be called under the container's lock. */
  async #letGo(follower: Follower): Promise<void> {
    follower.closed = true;
    follower.watch.turnOff();
    this.#schedule.forget(follower);
    this.#followers.delete(follower.pump.target.containerId);
    await this.#schedule.onFile(follower, () => follower.pump.close());
  }

  async resume(targets: ResumedLog[]): Promise<void> {
    await this.#makeFolder();
    const known = new Set(targets.map((target) => target.containerId));
    for (const containerId of await this.#positions.list()) {
      // One that has been started since the targets were looked for is none that is gone.
      await this.#schedule.exclusive(containerId, async () => {
        const isGone = !known.has(containerId) && !this.#followers.has(containerId);
        if (isGone) await this.#positions.forget(containerId);
      });
    }
    const { answering, silent } = await askFolders(targets, this.#mustAnswer);
    for (const { target, error } of silent) this.#owe(target, error);
    for (const target of answering) {
      await this.#schedule.exclusive(target.containerId, () =>
        this.#begin(target, { resumes: true, starts: false }).catch((error: unknown) => {
          this.#owe(target, error);
        }),
      );
    }
    this.#allResumed();
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
      this.#log.info({ containerId: containerId }, "container log resumed");
    });
  }

  lag(): LogLag {
    let containers = 0;
    let bytesBehind = 0;
    for (const { pump } of this.#followers.values()) {
      if (pump.drained) continue;
      containers += 1;
      bytesBehind += pump.bytesBehind;
    }
    const { lostBytes, pumpedBytes, unreadable } = this.#counts;
    return {
      ...{ containers, bytesBehind, lostBytes, pumpedBytes, unreadableLines: BigInt(unreadable) },
      hung: this.#schedule.hung,
    };
  }

  async close(): Promise<void> {
    await this.#owed.close();
    await this.#schedule.close();
    for (const follower of [...this.#followers.values()]) {
      const { containerId } = follower.pump.target;
      try {
        await this.#schedule.exclusive(containerId, () => this.#letGo(follower));
      } catch (error) {
        this.#log.warn(
          { containerId, error: errorText(error) },
          "container log position can not be saved",
        );
      }
    }
    this.#links.clear();
  }
}
