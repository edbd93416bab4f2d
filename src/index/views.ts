import type { ContainerEntry, ObjectKind } from "./container-index.ts";
import { SortedEntries } from "./sorted-entries.ts";

const none: readonly ContainerEntry[] = [];

/** The entries as readers want them: by kind, and containers by their sandbox. */
export class Views {
  readonly #kinds = { podsandbox: new SortedEntries(), container: new SortedEntries() };
  readonly #members = new Map<string, SortedEntries>();

  list(kind: ObjectKind): readonly ContainerEntry[] {
    return this.#kinds[kind].list;
  }

  members(podSandboxId: string): readonly ContainerEntry[] {
    return this.#members.get(podSandboxId)?.list ?? none;
  }

  add(entry: ContainerEntry): void {
    this.#kinds[entry.kind].add(entry);
    const sandbox = sandboxOf(entry);
    if (sandbox === undefined) return;
    const members = this.#members.get(sandbox);
    if (members !== undefined) members.add(entry);
    else {
      const first = new SortedEntries();
      first.add(entry);
      this.#members.set(sandbox, first);
    }
  }

  remove(entry: ContainerEntry): void {
    this.#kinds[entry.kind].remove(entry);
    const sandbox = sandboxOf(entry);
    const members = sandbox === undefined ? undefined : this.#members.get(sandbox);
    if (sandbox === undefined || members === undefined) return;
    members.remove(entry);
    if (members.size === 0) this.#members.delete(sandbox);
  }

  replace(before: ContainerEntry, after: ContainerEntry): void {
    const sandbox = sandboxOf(before);
    if (before.kind !== after.kind || sandbox !== sandboxOf(after)) {
      this.remove(before);
      this.add(after);
      return;
    }
    this.#kinds[after.kind].replace(before, after);
    if (sandbox !== undefined) this.#members.get(sandbox)?.replace(before, after);
  }
}

function sandboxOf({ identity }: ContainerEntry): string | undefined {
  return identity.kind === "container" ? identity.podSandboxId : undefined;
}
