import type { ContainerEntry } from "./container-index.ts";
import { byCreation } from "./list-order.ts";

/**
 * Entries in the order of their creation, kept by single changes: with thousands of them one change
 * must not sort, group or compare them all.
 */
export class SortedEntries {
  readonly #entries: ContainerEntry[] = [];
  #list: readonly ContainerEntry[] | undefined;

  get size(): number {
    return this.#entries.length;
  }

  /** The same array until something changes; never changed afterwards. */
  get list(): readonly ContainerEntry[] {
    return (this.#list ??= this.#entries.slice());
  }

  add(entry: ContainerEntry): void {
    this.#entries.splice(this.#placeOf(entry), 0, entry);
    this.#list = undefined;
  }

  remove(entry: ContainerEntry): void {
    const at = this.#placeOf(entry);
    if (this.#entries[at]?.id !== entry.id) return;
    this.#entries.splice(at, 1);
    this.#list = undefined;
  }

  replace(before: ContainerEntry, after: ContainerEntry): void {
    const at = this.#placeOf(before);
    if (before.createdAtNs === after.createdAtNs && this.#entries[at]?.id === before.id) {
      this.#entries[at] = after;
      this.#list = undefined;
      return;
    }
    this.remove(before);
    this.add(after);
  }

  #placeOf(entry: ContainerEntry): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#entries[middle];
      if (other !== undefined && other.id !== entry.id && byCreation(other, entry) < 0)
        low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
