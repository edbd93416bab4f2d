import type { ContainerEntry, ObjectKind } from "./container-index.ts";
import { replaceEntry, type ContainerRecord } from "./container-record.ts";
import { NameIndex } from "./name-index.ts";
import { Views } from "./views.ts";

/** The records of all objects, synchronized with what they are found by: id, name, kind and sandbox. */
export class RecordStore {
  readonly #byId = new Map<string, ContainerRecord>();
  readonly #names = new NameIndex();
  readonly #views = new Views();

  get size(): number {
    return this.#byId.size;
  }

  [Symbol.iterator](): Iterator<ContainerRecord> {
    return this.#byId.values();
  }

  get(id: string): ContainerRecord | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): ContainerEntry | undefined {
    return this.#byId.get(this.#names.idOf(name) ?? "")?.entry;
  }

  list(kind: ObjectKind): readonly ContainerEntry[] {
    return this.#views.list(kind);
  }

  members(podSandboxId: string): readonly ContainerEntry[] {
    return this.#views.members(podSandboxId);
  }

  /** The object whose inspect is the oldest, if it began before this (Clock.monotonicMs()). */
  oldestInspected(beforeMs: number): string | undefined {
    let oldest: string | undefined;
    let oldestMs = beforeMs;
    for (const { entry, known } of this) {
      const { inspected } = known;
      if (inspected === undefined || inspected.monotonicMs >= oldestMs) continue;
      oldest = entry.id;
      oldestMs = inspected.monotonicMs;
    }
    return oldest;
  }

  add(record: ContainerRecord): void {
    this.#byId.set(record.entry.id, record);
    this.#names.set(record.entry);
    this.#views.add(record.entry);
  }

  remove({ entry }: ContainerRecord): void {
    this.#byId.delete(entry.id);
    this.#names.forget(entry);
    this.#views.remove(entry);
  }

  /** Rebuilds the entry from what is known; with `identity` under the name that it has now. */
  replace(record: ContainerRecord, identity?: ContainerEntry["identity"]): void {
    const before = record.entry;
    // Without a new name the old one may be another object's by now.
    if (identity !== undefined) this.#names.forget(before);
    replaceEntry(record, identity);
    this.#views.replace(before, record.entry);
    if (identity !== undefined) this.#names.set(record.entry);
  }
}
