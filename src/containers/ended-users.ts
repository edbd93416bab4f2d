import { numericUser } from "../convert/container-out.ts";
import { processIdsOf } from "../convert/user.ts";
import type { ImageAccounts } from "../convert/user.ts";
import { containerStateOf } from "../convert/state.ts";
import { errorText } from "../errors.ts";
import { ContainerState } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import type { Logger } from "../log.ts";
import { settleWithin } from "../sys/abort.ts";
import { outsideCall, waiting } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import { RecentMap } from "../sys/recent-map.ts";
import { kindOf } from "./process-users.ts";
import type { ProcessUsers } from "./process-users.ts";

export interface EndedUsersDeps {
  users: Pick<ProcessUsers, "of" | "resolved">;
  index: Pick<ContainerIndex, "peek" | "health">;
  /** /etc/passwd and /etc/group of an image, read once for each image id. */
  imageAccounts(imageId: string): Promise<ImageAccounts>;
  clock: Pick<Clock, "monotonicMs" | "sleep">;
  log: Logger;
}

/** An image that is gone, or that says nothing of the user, is not asked at every status. */
const retryMs = 60_000;
/** Kinds of containers that are remembered for their failures and waits. */
const kindsKept = 512;

interface Flight {
  /** Those that get what is found, by id. */
  readonly entries: Map<string, ContainerEntry>;
  done: Promise<void>;
}

/**
 * ContainerStatus.user of containers that ended before anybody could read their OCI spec: what Docker
 * made of their user and groups is worked out from the image's files, once for each kind of container.
 */
export class EndedUsers {
  readonly #deps: EndedUsersDeps;
  readonly #flights = new Map<string, Flight>();
  /** Monotonic time of the last failure, by kind. */
  readonly #failed = new RecentMap<number>(kindsKept);
  /**
   * Milliseconds that calls have waited in vain, by kind: a slow engine must not delay each status of
   * each container that ended. What it says later is there for the next status.
   */
  readonly #waitedMs = new RecentMap<number>(kindsKept);

  constructor(deps: EndedUsersDeps) {
    this.#deps = deps;
  }

  /**
   * Waits until the users of those that have ended are known, at most `budgetMs` less what earlier
   * calls have waited for such containers. The work goes on after that. Never throws.
   */
  async settle(entries: readonly ContainerEntry[], budgetMs: number): Promise<void> {
    const unknown = entries.filter((entry) => this.#isUnknown(entry));
    if (unknown.length === 0 || !this.#deps.index.health.engineReady) return;
    const kinds = new Set<string>();
    for (const entry of unknown) {
      const kind = kindOf(entry);
      if (kind !== undefined && this.#begin(kind, entry)) kinds.add(kind);
    }
    if (kinds.size === 0) return;
    await waiting("users of the ended", () =>
      Promise.all([...kinds].map((kind) => this.#wait(kind, budgetMs))),
    );
  }

  #isUnknown(entry: ContainerEntry): boolean {
    if (entry.kind !== "container" || entry.inspect === undefined) return false;
    // One that was never started has no user yet.
    if (containerStateOf(entry.state.Status) !== ContainerState.CONTAINER_EXITED) return false;
    return this.#deps.users.of(entry) === undefined && numericUser(entry.inspect) === undefined;
  }

  /** False for a kind that failed a moment ago. */
  #begin(kind: string, entry: ContainerEntry): boolean {
    const flight = this.#flights.get(kind);
    if (flight !== undefined) {
      flight.entries.set(entry.id, entry);
      return true;
    }
    const failedMs = this.#failed.get(kind);
    if (failedMs !== undefined && this.#deps.clock.monotonicMs() - failedMs < retryMs) return false;
    const begun: Flight = { entries: new Map([[entry.id, entry]]), done: Promise.resolve() };
    this.#flights.set(kind, begun);
    begun.done = outsideCall(() => this.#resolve(kind, entry, begun.entries));
    return true;
  }

  async #wait(kind: string, budgetMs: number): Promise<void> {
    const flight = this.#flights.get(kind);
    const leftMs = budgetMs - (this.#waitedMs.get(kind) ?? 0);
    if (flight === undefined || leftMs <= 0) return;
    await settleWithin(flight.done, leftMs, this.#deps.clock);
    const late = this.#flights.get(kind) === flight;
    if (late) this.#waitedMs.set(kind, Math.max(this.#waitedMs.get(kind) ?? 0, budgetMs));
  }

  async #resolve(
    kind: string,
    { id, imageId, inspect }: ContainerEntry,
    entries: ReadonlyMap<string, ContainerEntry>,
  ): Promise<void> {
    try {
      const accounts = await this.#deps.imageAccounts(imageId);
      const groups = inspect?.HostConfig.GroupAdd ?? [];
      const ids = processIdsOf(accounts, inspect?.Config.User ?? "", groups);
      for (const entry of entries.values()) {
        // One that was removed meanwhile would be kept forever.
        if (this.#deps.index.peek(entry.id) !== undefined) this.#deps.users.resolved(entry, ids);
      }
      this.#failed.delete(kind);
      this.#waitedMs.delete(kind);
    } catch (error) {
      this.#failed.set(kind, this.#deps.clock.monotonicMs());
      this.#deps.log.debug(
        { containerId: id, error: errorText(error) },
        "the user of a container that has ended cannot be worked out",
      );
    } finally {
      this.#flights.delete(kind);
    }
  }
}
