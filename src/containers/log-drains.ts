import { containerStateOf } from "../convert/state.ts";
import { ContainerState } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import type { ContainerLogs } from "../logs/container-logs.ts";
import { waiting } from "../sys/call-trace.ts";

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

  constructor(
    logs: Pick<ContainerLogs, "drain">,
    index: Pick<ContainerIndex, "onChange" | "peek">,
  ) {
    this.#logs = logs;
    this.#index = index;
    index.onChange(({ kind, entry }) => {
      if (kind !== "stopped") {
        this.#drained.delete(entry.id);
        this.#waitedMs.delete(entry.id);
      }
      // Begun as soon as it is known, so that the next read finds it done.
      if (kind === "stopped" && entry.kind === "container") {
        this.#drain(entry.id, 10_000).catch(() => undefined);
      }
    });
  }

  /**
   * Waits for the logs of those that have exited, at most `budgetMs`; then the state is reported anyway. A
   * container that earlier calls have waited for takes what they left of the budget.
   */
  async settle(entries: readonly ContainerEntry[], budgetMs: number): Promise<void> {
    const pending = entries.filter(
      (entry) =>
        entry.kind === "container" &&
        !this.#drained.has(entry.id) &&
        containerStateOf(entry.state.Status) === ContainerState.CONTAINER_EXITED,
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
    const drained = await this.#logs.drain(id, timeoutMs);
    // One that was removed meanwhile would be kept forever: its end has been reported already.
    if (drained && this.#index.peek(id) !== undefined) this.#drained.add(id);
  }
}
