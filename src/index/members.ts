import type { ContainerEntry } from "./container-index.ts";

const none: readonly ContainerEntry[] = [];

/**
 * Containers by their sandbox. Made once for each list of the table, which is a new array whenever
 * anything changed: a status per pod and second must not walk every container of the node.
 */
export class Members {
  readonly #bySandbox = new WeakMap<readonly ContainerEntry[], Map<string, ContainerEntry[]>>();

  /** In the order of the list. */
  of(podSandboxId: string, containers: readonly ContainerEntry[]): readonly ContainerEntry[] {
    let grouped = this.#bySandbox.get(containers);
    if (grouped === undefined) {
      grouped = new Map();
      for (const entry of containers) {
        if (entry.identity.kind !== "container") continue;
        const group = grouped.get(entry.identity.podSandboxId);
        if (group === undefined) grouped.set(entry.identity.podSandboxId, [entry]);
        else group.push(entry);
      }
      this.#bySandbox.set(containers, grouped);
    }
    return grouped.get(podSandboxId) ?? none;
  }
}
