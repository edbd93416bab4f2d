import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { LogTarget } from "./container-logs.ts";
import { makeLogLink, removeLogLink } from "./link.ts";
import { resolveLogPath } from "./log-path.ts";
import type { Touch } from "./position-journal.ts";

/** The logs that are symlinks to Docker's files, by container. */
export class LogLinks {
  readonly #targets = new Map<string, LogTarget>();
  readonly #log: Logger;
  readonly #touch: Touch;

  constructor(log: Logger, touch: Touch) {
    this.#log = log;
    this.#touch = touch;
  }

  has(containerId: string): boolean {
    return this.#targets.has(containerId);
  }

  /** @throws InvalidArgument for a path that leaves its folder */
  make(target: LogTarget): void {
    const path = resolveLogPath(target.logDirectory, target.logPath);
    this.#targets.set(target.containerId, target);
    this.#touch(path.full);
    try {
      makeLogLink(path, target.sourcePath);
    } catch (error) {
      // As with dockershim, a container is not kept from running for want of a link.
      if (error instanceof CriError && error.kind === "InvalidArgument") throw error;
      this.#log.warn(
        { containerId: target.containerId, error: errorText(error) },
        "container log link can not be made",
      );
    }
  }

  /** False for a container whose log is no link. */
  makeAgain(containerId: string): boolean {
    const target = this.#targets.get(containerId);
    if (target !== undefined) this.make(target);
    return target !== undefined;
  }

  remove(containerId: string): void {
    const target = this.#targets.get(containerId);
    if (target === undefined) return;
    const path = resolveLogPath(target.logDirectory, target.logPath);
    this.#touch(path.full);
    removeLogLink(path, target.sourcePath);
    this.#targets.delete(containerId);
  }

  clear(): void {
    this.#targets.clear();
  }
}
