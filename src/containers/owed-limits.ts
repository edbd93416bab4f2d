import { EngineError } from "../engine/errors.ts";
import { CriError, errorText } from "../errors.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import type { LimitsOwed, OwedEffects } from "../state/owed-effects.ts";
import type { ResourceUpdates } from "../state/resource-updates.ts";
import { failpoint } from "../sys/failpoint.ts";
import { isErrno } from "../sys/fs.ts";
import type { ContainerDeps } from "./deps.ts";
import { applyHostWrites, kindOfHostWrites } from "./host-writes.ts";
import { hasEnded } from "./running-process.ts";

export type OwedLimitsDeps = ContainerDeps & { resources: ResourceUpdates; owed: OwedEffects };

/** After limits could not be set, and the container not be ended either: the engine is probably away. */
const retryMs = 5_000;

/**
 * Limits that Docker's API has no field for are written after the start, so between the two a container runs
 * without them. That they are owed is noted on disk before the start. Whatever ends the call in between, Dockline's
 * own end included, the limits are set afterwards, or the container is killed. A grace period does not help it then.
 */
export class OwedLimits {
  readonly #deps: OwedLimitsDeps;
  /** Containers that calls, or this class, are at work on; how many. */
  readonly #busy = new Map<string, number>();
  /** Started by others meanwhile: what was written went to a process that is gone. */
  readonly #again = new Set<string>();
  readonly #notBeforeMs = new Map<string, number>();

  constructor(deps: OwedLimitsDeps) {
    this.#deps = deps;
  }

  /**
   * Starts the container by `start` and sets what Docker could not.
   *
   * @throws what `start` throws; Error when a limit cannot be set, and then the container is killed
   */
  async startWith(container: ContainerEntry, start: () => Promise<void>): Promise<void> {
    const kind = await kindOfHostWrites(this.#deps, container);
    if (kind !== "needed") {
      if (!this.#busy.has(container.id)) this.#deps.owed.limitsDone(container.id);
      await this.#whileBusy(container.id, start);
      if (kind === "optional") await applyHostWrites(this.#deps, container);
      return;
    }
    await this.#whileOwed(container.id, "start", async () => {
      await start();
      // What the index told meanwhile is this very start.
      this.#again.delete(container.id);
      await applyHostWrites(this.#deps, container);
      failpoint("start.after-writes");
    });
  }

  /**
   * Has `change` alter the limits. Those that are saved then are set again, should it break off. What a start owes is
   * left to that start, or to what follows it.
   */
  async changeWith(containerId: string, change: () => Promise<void>): Promise<void> {
    await this.#whileOwed(containerId, "update", change);
  }

  async #whileOwed(id: string, why: LimitsOwed, work: () => Promise<void>): Promise<void> {
    await this.#atWork(id, why, async () => {
      this.#deps.owed.oweLimits(id, why);
      await work();
    });
  }

  /**
   * What is owed is done with the work, unless somebody restarts the container meanwhile, or is at work on it still:
   * a debt that then stays is settled.
   */
  async #atWork(id: string, as: LimitsOwed, work: () => Promise<void>): Promise<void> {
    await this.#whileBusy(id, async () => {
      await work();
      const { owed } = this.#deps;
      const isOthers = as === "update" && owed.limits.get(id) === "start";
      const isLast = this.#busy.get(id) === 1;
      if (isLast && !isOthers && !this.#again.has(id)) owed.limitsDone(id);
    });
  }

  /** A start that the index reports meanwhile is ours, and none by others. */
  async #whileBusy(id: string, work: () => Promise<void>): Promise<void> {
    this.#busy.set(id, (this.#busy.get(id) ?? 0) + 1);
    try {
      await work();
    } finally {
      const left = (this.#busy.get(id) ?? 1) - 1;
      if (left > 0) this.#busy.set(id, left);
      else {
        this.#busy.delete(id);
        this.#again.delete(id);
      }
    }
  }

  /** Somebody else has restarted it, who knows only the limits that Docker has. */
  startedByOthers({ id, identity }: ContainerEntry): void {
    if (identity.kind !== "container") return;
    if (this.#busy.has(id)) {
      this.#again.add(id);
      return;
    }
    this.#deps.owed.oweLimitsAnyway(id);
    void this.#settle(id);
  }

  /** Running containers after a start of Dockline: somebody may have restarted them meanwhile. */
  foundRunning(containers: readonly ContainerEntry[]): void {
    for (const { id, state } of containers) {
      // What a start owes, and the disk could not note, is owed already.
      if (state.Running && !this.#deps.owed.limits.has(id)) this.#deps.owed.oweLimits(id, "found");
    }
  }

  /** Sets what is owed to containers that run by now. Never rejects; wants an index that knows them all. */
  async settle(): Promise<void> {
    await Promise.all([...this.#deps.owed.limits.keys()].map((id) => this.#settle(id)));
  }

  async #settle(id: string): Promise<void> {
    const { index, clock, owed } = this.#deps;
    if (this.#busy.has(id) || clock.monotonicMs() < (this.#notBeforeMs.get(id) ?? 0)) return;
    const known = index.peek(id);
    if (known === undefined || hasEnded(known)) {
      this.#notBeforeMs.delete(id);
      owed.limitsDone(id);
      return;
    }
    // Its start may still be on its way through Docker.
    if (!known.state.Running) return;
    try {
      // Whatever it is owed for: what is set now is all of it.
      const why = owed.limits.get(id) ?? "found";
      await this.#atWork(id, "found", () => this.#set(known, why));
      this.#notBeforeMs.delete(id);
    } catch {
      this.#notBeforeMs.set(id, clock.monotonicMs() + retryMs);
    }
  }

  async #set(known: ContainerEntry, why: LimitsOwed): Promise<void> {
    const { id } = known;
    const { log } = this.#deps;
    try {
      if ((await kindOfHostWrites(this.#deps, known)) === "none") return;
      await this.#deps.locks.run(`container:${known.name}`, () =>
        applyHostWrites(this.#deps, known, { mustNotRunWithout: why === "start" }),
      );
      if (why !== "found") log.info({ containerId: id }, "limits that were left out are set");
    } catch (error) {
      const details = { containerId: id, error: errorText(error) };
      if (why === "start") {
        log.warn(details, "limits that a start has left out cannot be set");
        throw error;
      }
      if (!isRefusal(error)) {
        // Told once: it is tried every few seconds.
        const isFirst = !this.#notBeforeMs.has(id);
        log[isFirst ? "warn" : "debug"](
          details,
          "limits cannot be set now; it will be tried again",
        );
        throw error;
      }
      // It has run without them until now.
      log.warn(details, "limits cannot be set again; the container keeps what is in force");
    }
  }
}

/** The kernel's word on the limits themselves: not an engine that is away, nor a node that is out of files or memory. */
function isRefusal(error: unknown): boolean {
  if (error instanceof EngineError) return false;
  if (error instanceof CriError && error.kind === "Unavailable") return false;
  const { cause } = error as { cause?: unknown };
  return !isErrno(cause, "EMFILE", "ENFILE", "ENOMEM", "EINTR");
}
