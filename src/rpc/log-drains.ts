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
  readonly #drained = new Set<string>();

  constructor(logs: Pick<ContainerLogs, "drain">, index: Pick<ContainerIndex, "onChange">) {
    this.#logs = logs;
    index.onChange(({ kind, entry }) => {
      if (kind === "deleted") this.#drained.delete(entry.id);
      // Begun as soon as it is known, so that the next read finds it done.
      if (kind === "stopped" && entry.kind === "container") {
        this.#drain(entry.id, 10_000).catch(() => undefined);
      }
    });
  }

  /** Waits for the logs of those that have exited, at most `budgetMs`; then the state is told anyway. */
  async settle(entries: readonly ContainerEntry[], budgetMs: number): Promise<void> {
    const pending = entries.filter(
      (entry) =>
        entry.kind === "container" &&
        !this.#drained.has(entry.id) &&
        containerStateOf(entry.state.Status) === ContainerState.CONTAINER_EXITED,
    );
    if (pending.length === 0) return;
    await waiting("logs of the ended", () =>
      Promise.all(pending.map((entry) => this.#drain(entry.id, budgetMs))),
    );
  }

  async #drain(id: string, timeoutMs: number): Promise<void> {
    if (await this.#logs.drain(id, timeoutMs)) this.#drained.add(id);
  }
}
