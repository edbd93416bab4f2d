import { CriError, errorText, invalidArgument } from "../errors.ts";
import { waiting } from "../sys/call-trace.ts";
import type { ContainerEntry, FindOptions, ObjectKind } from "./container-index.ts";
import type { ContainerLister } from "./container-lister.ts";
import { phaseOf } from "./container-state.ts";
import type { ContainerTable } from "./container-table.ts";
import type { EngineFollower } from "./engine-follower.ts";
import type { ReadSource } from "./image-index.ts";
import type { Inspector } from "./inspector.ts";
import type { Sleeper } from "./sleeper.ts";
import type { Tick } from "./tick.ts";

/** A read that must ask the engine for a list gives up after this. */
const READ_LIST_MS = 5_000;

export interface ReadPathDeps {
  table: ContainerTable;
  inspector: Inspector;
  lister: ContainerLister;
  follower: EngineFollower;
  sleeper: Sleeper;
  tick: Tick;
  graceMs: number;
  statusBudgetMs: number;
  listBudgetMs: number;
}

/** How reads get their answer: when memory will do, when to wait, and when there is none. */
export class ReadPath {
  readonly #deps: ReadPathDeps;
  constructor(deps: ReadPathDeps) {
    this.#deps = deps;
  }

  async list(kind: ObjectKind): Promise<readonly ContainerEntry[]> {
    await this.settleAll(kind);
    return this.#deps.table.list(kind);
  }

  /** Brings one kind up to date, or those of it that `only` picks, within the budget of a list. */
  async settleAll(kind: ObjectKind, only?: (entry: ContainerEntry) => boolean): Promise<void> {
    await this.current();
    const budgetMs = this.#deps.listBudgetMs;
    const waits: Promise<void>[] = [];
    const waited: string[] = [];
    if (this.#deps.follower.reachable !== false) {
      for (const id of this.#deps.table.dirtyIds) {
        const entry = this.#deps.table.get(id);
        if (entry?.kind !== kind || only?.(entry) === false) continue;
        // One that was waited for already is late or hung: it must not delay every list.
        if (this.#deps.inspector.waitingMs(id) >= budgetMs) continue;
        waited.push(id);
        waits.push(this.#deps.inspector.settle(id, this.#deps.table.changedAt(id), budgetMs));
      }
    }
    if (waits.length > 0) await waiting("inspects", () => Promise.all(waits));
    if (only !== undefined) await this.#untilEndsAreKnown(waited, budgetMs);
  }

  /** The entry after an inspect of what changed, or as last known when that takes too long. */
  async settled(
    entry: ContainerEntry,
    { fresh = false, asKnown = false, signal }: FindOptions,
  ): Promise<ContainerEntry | undefined> {
    const { id } = entry;
    const { table, tick } = this.#deps;
    const known = !entry.dirty && !fresh && !table.suspect(id);
    if (asKnown || known || this.#deps.follower.reachable === false) return entry;
    const since = fresh ? tick.next() : table.mustBeNewerThan(id);
    const budgetMs = this.#deps.statusBudgetMs;
    // The budget belongs to the request: who comes later does not wait for it all over again.
    const leftMs = fresh ? budgetMs : budgetMs - this.#deps.inspector.flyingMs(id);
    if (leftMs > 0) {
      const settled = this.#deps.inspector
        .settle(id, since, leftMs)
        .then(() => this.#untilEndsAreKnown([id], budgetMs));
      await waiting("inspect", () =>
        signal === undefined ? settled : untilAborted(settled, signal),
      );
    }
    return this.#deps.table.get(id);
  }

  /**
   * What ended while it was being inspected is known by its event alone, which tells neither the
   * kill for lack of memory nor the engine's own times; and the kubelet asks only once.
   */
  async #untilEndsAreKnown(ids: readonly string[], budgetMs: number): Promise<void> {
    const { table, inspector } = this.#deps;
    const waits = ids.flatMap((id) => {
      const entry = table.get(id);
      if (entry?.dirty !== true || phaseOf(entry.state) !== "stopped") return [];
      const leftMs = budgetMs - inspector.flyingMs(id);
      return leftMs > 0 ? [inspector.settle(id, table.changedAt(id), leftMs)] : [];
    });
    await Promise.all(waits);
  }

  lookUp(kind: ObjectKind, idOrPrefix: string): ContainerEntry | undefined {
    const exact = this.#deps.table.get(idOrPrefix);
    if (exact !== undefined) return exact.kind === kind ? exact : undefined;
    if (idOrPrefix === "") return undefined;
    const found = this.#deps.table.list(kind).filter((entry) => entry.id.startsWith(idOrPrefix));
    if (found.length > 1) throw invalidArgument(`${kind} id "${idOrPrefix}": ambiguous prefix`);
    return found[0];
  }

  /** What a read may rely on at this moment. */
  source(): ReadSource {
    if (this.#deps.follower.live) return "followed";
    if (this.#deps.follower.reachable !== false) return "engine";
    if (this.#deps.follower.staleMs <= this.#deps.graceMs) return "memory";
    throw new CriError("Unavailable", `docker engine: ${this.#deps.follower.reason}`);
  }

  /** True when memory is up to date. Otherwise a list was requested, or the grace period still holds. */
  async current(): Promise<boolean> {
    const source = this.source();
    if (source === "followed") return true;
    if (source === "memory") return false;
    try {
      const outcome = await waiting("list of the engine", () =>
        this.#deps.sleeper.within(this.#deps.lister.list(0), READ_LIST_MS),
      );
      if (outcome !== "late") return false;
    } catch (error) {
      if (this.#deps.follower.staleMs > this.#deps.graceMs) {
        throw new CriError("Unavailable", `docker engine: ${errorText(error)}`, { cause: error });
      }
      return false;
    }
    if (this.#deps.follower.staleMs <= this.#deps.graceMs) return false;
    throw new CriError("Unavailable", "docker engine: its list takes too long");
  }
}

/** Waits until `work` is done or the signal aborts, whichever is first. */
function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", done, { once: true });
    void work.then(done);
  });
}
