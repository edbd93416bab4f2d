import { join } from "node:path";
import { CriError, errorText, notFound } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import { ensurePrivateFolder } from "../sys/fs.ts";
import type { ContainerLogs, LogLag, LogTarget } from "./container-logs.ts";
import { Follower } from "./follower.ts";
import { makeLogLink, removeLogLink } from "./link.ts";
import { resolveLogPath } from "./log-path.ts";
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
  readonly #counts: PumpCounts = { pumpedBytes: 0n, lostBytes: 0n, unreadable: 0 };
  readonly #resumed: Promise<void>;
  #allResumed: () => void = () => undefined;
  #folderMade = false;

  constructor(deps: PumpsDeps) {
    this.#resumed =
      deps.resumes === true
        ? new Promise((resolve) => (this.#allResumed = resolve))
        : Promise.resolve();
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#folder = join(deps.stateDir, "logs");
    this.#positions = new PositionStore(this.#folder);
    this.#schedule = new Schedule({
      clock: deps.clock,
      log: deps.log,
      followers: () => this.#followers.values(),
    });
  }

  async start(target: LogTarget): Promise<void> {
    await this.#begin(target, { mustHavePosition: false });
  }

  async #begin(target: LogTarget, options: { mustHavePosition: boolean }): Promise<boolean> {
    await this.#makeFolder();
    return this.#schedule.exclusive(target.containerId, async () => {
      if (target.format === "docker-json") {
        await this.#link(target);
        return true;
      }
      const present = this.#followers.get(target.containerId);
      if (present !== undefined) {
        if (!options.mustHavePosition) await present.pump.wake();
        this.#schedule.notify(present);
        return true;
      }
      const pump = new Pump(target, {
        clock: this.#clock,
        positions: this.#positions,
        counts: this.#counts,
        mostUnlinkedBytes: MOST_UNLINKED_BYTES,
      });
      try {
        if (!(await pump.open(options))) return false;
        if (pump.positionLost) {
          this.#log.warn(
            { container: target.containerId },
            "the position in a container log is lost: going on behind its last line",
          );
        }
        if (pump.drained && !options.mustHavePosition) await pump.wake();
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
      return true;
    });
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
        { container: target.containerId, error: errorText(error) },
        "container log link can not be made",
      );
    }
  }

  async drain(containerId: string, timeoutMs: number): Promise<boolean> {
    return this.#within(timeoutMs, async () => {
      if (!this.#followers.has(containerId)) await this.#resumed;
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
        this.#log.debug(
          { container: containerId, error: errorText(error) },
          "log drain is retried",
        );
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

  async resume(targets: LogTarget[]): Promise<void> {
    await this.#makeFolder();
    const known = new Set(targets.map((target) => target.containerId));
    for (const containerId of await this.#positions.list())
      if (!known.has(containerId)) await this.#positions.forget(containerId);
    for (const target of targets) {
      try {
        await this.#begin(target, { mustHavePosition: true });
      } catch (error) {
        this.#log.error(
          { container: target.containerId, error: errorText(error) },
          "container log can not be resumed",
        );
      }
    }
    this.#allResumed();
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
    await this.#schedule.close();
    for (const follower of [...this.#followers.values()]) {
      const { containerId } = follower.pump.target;
      try {
        await this.#schedule.exclusive(containerId, () => this.#letGo(follower));
      } catch (error) {
        this.#log.warn(
          { container: containerId, error: errorText(error) },
          "container log position can not be saved",
        );
      }
    }
    this.#links.clear();
  }
}
