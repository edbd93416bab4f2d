import { readFileSync } from "node:fs";
import type { Logger } from "../log.ts";
import { hangingMountOf } from "../sys/mount-table.ts";
import { Semaphore } from "../sys/mutex.ts";

/** Work on a file system that takes longer is reported. */
const SLOW_MS = 10_000;
/** The text is long on a node with many pods, and all logs are opened at once after a start. */
const MOUNTS_KEPT_MS = 2_000;

/** Where work on log files waits for its turn. */
export interface Lane {
  run<T>(work: () => Promise<T>): Promise<T>;
}

/**
 * One place for each file system of container logs that may hang (NFS, FUSE, …): when its server dies, the
 * logs on it wait, hold one I/O thread together, and take no place from the logs of other pods.
 */
export class LogLanes {
  readonly #log: Logger;
  readonly #mountinfo: () => string;
  /** By mount point. */
  readonly #lanes = new Map<string, RemoteLane>();

  constructor(
    log: Logger,
    mountinfo = () => readFileSync("/proc/self/mountinfo", "utf8"),
    nowMs = () => performance.now(),
  ) {
    this.#log = log;
    let kept: { text: string; atMs: number } | undefined;
    this.#mountinfo = () => {
      const atMs = nowMs();
      if (kept === undefined || atMs - kept.atMs >= MOUNTS_KEPT_MS)
        kept = { text: mountinfo(), atMs };
      return kept.text;
    };
  }

  /** The lane of a file that was just opened on a device; undefined when it is a local disk. */
  of(device: bigint): Lane | undefined {
    const point = hangingMountOf(this.#mountinfo(), device);
    if (point === undefined) return undefined;
    const lane = this.#lanes.get(point) ?? new RemoteLane(point, this.#log);
    this.#lanes.set(point, lane);
    return lane;
  }

  /** Mount points that have not answered for 10 s. */
  get hung(): string[] {
    return [...this.#lanes.values()].flatMap((lane) => (lane.hung ? [lane.point] : []));
  }
}

class RemoteLane implements Lane {
  readonly point: string;
  hung = false;
  readonly #log: Logger;
  readonly #place = new Semaphore(1);

  constructor(point: string, log: Logger) {
    this.point = point;
    this.#log = log;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return this.#place.run(async () => {
      const timer = setTimeout(() => {
        this.hung = true;
        this.#log.warn(
          { mountPoint: this.point },
          "the file system of container logs has not answered for 10 s; the logs on it wait",
        );
      }, SLOW_MS).unref();
      try {
        return await work();
      } finally {
        clearTimeout(timer);
        if (this.hung)
          this.#log.info({ mountPoint: this.point }, "the file system of container logs answers");
        this.hung = false;
      }
    });
  }
}
