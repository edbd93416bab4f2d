import type { ContainerEntry } from "./container-index.ts";

/** Which object has a name now. Docker gives a name away again, so an older object never takes it back. */
export class NameIndex {
  readonly #ids = new Map<string, string>();

  idOf(name: string): string | undefined {
    return this.#ids.get(name);
  }
  set({ id, name }: ContainerEntry): void {
    this.#ids.set(name, id);
  }
  forget({ id, name }: ContainerEntry): void {
    if (this.#ids.get(name) === id) this.#ids.delete(name);
  }
}
