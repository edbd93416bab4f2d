/** How far an object has come, as plugins were informed. */
export type Told = "created" | "running" | "stopped";

/**
 * What plugins know of each pod and container, so that an end is reported once and only of what they know. Kept only while
 * a plugin is there.
 */
export class States<T> {
  readonly #known = new Map<string, { told: Told; last: T }>();

  /** @param last what it looked like, for telling of its end when nobody knows it any more */
  set(id: string, told: Told, last: T): void {
    this.#known.set(id, { told, last });
  }

  of(id: string): Told | undefined {
    return this.#known.get(id)?.told;
  }

  last(id: string): T | undefined {
    return this.#known.get(id)?.last;
  }

  owesStop(id: string): boolean {
    const told = this.of(id);
    return told === "created" || told === "running";
  }

  drop(id: string): void {
    this.#known.delete(id);
  }

  clear(): void {
    this.#known.clear();
  }
}
