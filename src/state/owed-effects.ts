import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { isErrno } from "../sys/fs.ts";

/** An exec of ours that runs, or may run, and whose end is ours to see to. */
export interface OwedExec {
  readonly execId: string;
  readonly containerId: string;
}

/**
 * Why a container's limits are to be written. After a "start" it must not run without them. After an "update", or
 * when it was "found" running, it has run with those in force before.
 */
export type LimitsOwed = "start" | "update" | "found";

const limitsName = /^(start|update)-([0-9a-f]{64})$/;
const execName = /^exec-([0-9a-f]{64})-([0-9a-f]{64})$/;

/** The container whose limits an entry of `<run-dir>/owed` is about; undefined for other entries. */
export const limitsOwedBy = (name: string): string | undefined => limitsName.exec(name)?.[2];

/**
 * `<run-dir>/owed`: what is still to be done on the host for a container, noted before the effect that makes it
 * necessary. Each entry is an empty file, so that none is ever half-written: its name says everything. The folder
 * lies where a reboot empties it, as a reboot ends whatever the entries are about; for the same reason nothing is
 * synced to the disk, and a note costs some 20 µs.
 */
export class OwedEffects {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #limits = new Map<string, LimitsOwed>();
  /** Of those, the ones that the disk has not. */
  readonly #unnoted = new Set<string>();
  /** Container ids by exec id. */
  readonly #execs = new Map<string, string>();
  #left: readonly OwedExec[] = [];
  #warned = false;

  private constructor(folder: string, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  /** A folder that cannot be read is logged: what it says is not known, and Dockline starts all the same. */
  static open(runDir: string, log: Logger): OwedEffects {
    const folder = join(runDir, "owed");
    const owed = new OwedEffects(folder, log);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      for (const name of readdirSync(folder)) owed.#read(name);
      owed.#left = [...owed.#execs].map(([execId, containerId]) => ({ execId, containerId }));
    } catch (error) {
      log.warn({ folder, error: errorText(error) }, "what is owed to containers cannot be read");
    }
    return owed;
  }

  /** Containers that run, or may run, without all of their limits. */
  get limits(): ReadonlyMap<string, LimitsOwed> {
    return this.#limits;
  }

  /**
   * A stronger reason stays: after a start the limits are owed until they are written.
   *
   * @throws Error when it cannot be noted for the next process, and then nothing more is owed than before
   */
  oweLimits(containerId: string, why: LimitsOwed): void {
    const stays = this.#limits.get(containerId) === "start";
    if (stays && !this.#unnoted.has(containerId)) return;
    const strongest = stays ? "start" : why;
    if (strongest !== "found") this.#note(this.#limitsPath(strongest, containerId));
    this.#limits.set(containerId, strongest);
    this.#unnoted.delete(containerId);
  }

  /** As after a start, for what has happened already: known to this process, whatever the disk says. */
  oweLimitsAnyway(containerId: string): void {
    if (this.#limits.get(containerId) !== "start") {
      this.#limits.set(containerId, "start");
      this.#unnoted.add(containerId);
    }
    try {
      this.oweLimits(containerId, "start");
    } catch (error) {
      this.#warn(error);
    }
  }

  limitsDone(containerId: string): void {
    const why = this.#limits.get(containerId);
    if (why === undefined) return;
    this.#limits.delete(containerId);
    this.#unnoted.delete(containerId);
    for (const each of ["start", "update"] as const) {
      this.#forget(this.#limitsPath(each, containerId));
    }
  }

  /** What the process before this one has left: nobody waits for these any more. */
  get execsLeft(): readonly OwedExec[] {
    return this.#left;
  }

  /** What cannot be noted is known until Dockline ends: no probe fails for it. */
  oweExec(execId: string, containerId: string): void {
    this.#execs.set(execId, containerId);
    try {
      this.#note(this.#execPath(execId, containerId));
    } catch (error) {
      this.#warn(error);
    }
  }

  execDone(execId: string): void {
    const containerId = this.#execs.get(execId);
    if (containerId === undefined) return;
    this.#execs.delete(execId);
    this.#forget(this.#execPath(execId, containerId));
  }

  #read(name: string): void {
    const [, why, owing] = limitsName.exec(name) ?? [];
    const [, execId, containerId] = execName.exec(name) ?? [];
    if (owing !== undefined) {
      if (this.#limits.get(owing) !== "start") this.#limits.set(owing, why as LimitsOwed);
    } else if (execId !== undefined && containerId !== undefined) {
      this.#execs.set(execId, containerId);
    }
  }

  #limitsPath(why: LimitsOwed, containerId: string): string {
    return join(this.#folder, `${why}-${containerId}`);
  }

  #execPath(execId: string, containerId: string): string {
    return join(this.#folder, `exec-${execId}-${containerId}`);
  }

  #note(path: string): void {
    try {
      writeFileSync(path, "", { mode: 0o600 });
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      // Somebody tidied /run.
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      writeFileSync(path, "", { mode: 0o600 });
    }
  }

  /** One that stays is looked at again after the next start, and found done. */
  #forget(path: string): void {
    try {
      rmSync(path, { force: true });
    } catch (error) {
      this.#warn(error);
    }
  }

  #warn(error: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    const details = { folder: this.#folder, error: errorText(error) };
    this.#log.warn(details, "what is owed to containers cannot be noted; this is said once");
  }
}
