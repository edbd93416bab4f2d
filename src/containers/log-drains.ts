import { containerStateOf } from "../convert/state.ts";
import { ContainerState } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import type { ContainerLogs } from "../logs/container-logs.ts";
import { waiting } from "../sys/call-trace.ts";

/** What one drain begun here may take, and the pause before the next where that one failed. */
const DRAIN_MS = 10_000;
const PAUSE_MS = 15_000;

/**
 * A container is shown as EXITED only when its whole output is in its CRI log: the kubelet takes the
 * termination message from there, and conformance tests read the file exactly once after EXITED.
 */
export class LogDrains {
  readonly #logs: Pick<ContainerLogs, "drain">;
  readonly #index: Pick<ContainerIndex, "peek">;
  readonly #drained = new Set<string>();
  /**
   * Milliseconds that reads have waited in vain for a container's log. The budget belongs to the
   * container, not to the call: a full disk must not delay each status of each container that ended.
   */
  readonly #waitedMs = new Map<string, number>();
  /** A further drain is going to be begun. */
  readonly #again = new Map<string, NodeJS.Timeout>();
  readonly #pauseMs: number;

  constructor(
    logs: Pick<ContainerLogs, "drain">,
    index: Pick<ContainerIndex, "onChange" | "peek">,
    pauseMs = PAUSE_MS,
  ) {
    this.#pauseMs = pauseMs;
    this.#logs = logs;
    this.#index = index;
    index.onChange(({ kind, entry }) => {
      if (kind !== "stopped") {
        this.#drained.delete(entry.id);
        this.#waitedMs.delete(entry.id);
        clearTimeout(this.#again.get(entry.id));
        this.#again.delete(entry.id);
      }
      // Begun as soon as it is known, so that the next read finds it done.
      if (kind === "stopped" && entry.kind === "container") {
        this.#drain(entry.id, DRAIN_MS).catch(() => undefined);
      }
    });
  }

  /**
   * Waits for the logs of those that have exited, at most `budgetMs`; then the state is reported anyway. A
   * container that earlier calls have waited for takes what they left of the budget.
   */
  async settle(entries: readonly ContainerEntry[], budgetMs: number): Promise<void> {
    const pending = entries.filter(
      (entry) => entry.kind === "container" && !this.#drained.has(entry.id) && isExited(entry),
    );
    if (pending.length === 0) return;
    await waiting("logs of the ended", () =>
      Promise.all(pending.map((entry) => this.#settleOne(entry.id, budgetMs))),
    );
  }

  async #settleOne(id: string, budgetMs: number): Promise<void> {
    const waitedMs = this.#waitedMs.get(id) ?? 0;
    if (waitedMs >= budgetMs) return;
    try {
      await this.#drain(id, budgetMs - waitedMs);
    } finally {
      const known = this.#index.peek(id) !== undefined && !this.#drained.has(id);
      if (known) this.#waitedMs.set(id, Math.max(this.#waitedMs.get(id) ?? 0, budgetMs));
    }
  }

  async #drain(id: string, timeoutMs: number): Promise<void> {
    let drained = false;
    try {
      drained = await this.#logs.drain(id, timeoutMs);
    } finally {
      // One that was removed meanwhile would be kept forever: its end has been reported already.
      if (drained && this.#index.peek(id) !== undefined) this.#drained.add(id);
      if (!drained && this.#hasExited(id)) this.#drainAgain(id);
    }
  }

  #hasExited(id: string): boolean {
    const entry = this.#index.peek(id);
    return entry?.kind === "container" && isExited(entry);
  }

  /** Until then its log is held open and its folder watched, and the next Dockline would go on with it. */
  #drainAgain(id: string): void {
    if (this.#again.has(id)) return;
    const timer = setTimeout(() => {
      this.#again.delete(id);
      if (!this.#hasExited(id) || this.#drained.has(id)) return;
      this.#drain(id, DRAIN_MS).catch(() => undefined);
    }, this.#pauseMs);
    this.#again.set(id, timer.unref());
  }
}

function isExited({ state }: ContainerEntry): boolean {
  return containerStateOf(state.Status) === ContainerState.CONTAINER_EXITED;
}
