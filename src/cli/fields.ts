/** A manifest that asks for what `play` cannot do; each problem names its field. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
}

/**
 * Reads one mapping of a manifest and remembers which of its keys were asked for, so that whatever
 * is left over can be named instead of being ignored.
 */
export class Fields {
  readonly #values: Record<string, unknown>;
  readonly #path: string;
  readonly #problems: string[];
  readonly #seen = new Set<string>();

  constructor(value: unknown, path: string, problems: string[]) {
    this.#path = path;
    this.#problems = problems;
    const mapping = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!mapping) problems.push(`${path}: want a mapping`);
    this.#values = mapping ? (value as Record<string, unknown>) : {};
  }

  at(key: string): string {
    return this.#path === "" ? key : `${this.#path}.${key}`;
  }
  problem(key: string, text: string): void {
    this.#problems.push(`${this.at(key)}: ${text}`);
  }
  raw(key: string): unknown {
    this.#seen.add(key);
    return this.#values[key];
  }
  /** Keys that say nothing to us (comments of other tools), taken without a word. */
  ignore(...keys: string[]): void {
    for (const key of keys) this.#seen.add(key);
  }
  has(key: string): boolean {
    return this.#values[key] !== undefined && this.#values[key] !== null;
  }

  text(key: string, fallback = ""): string {
    const value = this.raw(key) ?? fallback;
    if (typeof value === "string") return value;
    this.problem(key, "want text");
    return fallback;
  }
  flag(key: string): boolean {
    const value = this.raw(key) ?? false;
    if (typeof value === "boolean") return value;
    this.problem(key, "want true or false");
    return false;
  }
  integer(key: string): number | undefined {
    const value = this.raw(key) ?? undefined;
    if (value === undefined || (typeof value === "number" && Number.isSafeInteger(value))) {
      return value;
    }
    this.problem(key, "want a whole number");
    return undefined;
  }
  texts(key: string): string[] {
    const value = this.raw(key) ?? [];
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    this.problem(key, "want a list of texts");
    return [];
  }
  textMap(key: string): Record<string, string> {
    const value = this.raw(key) ?? {};
    if (typeof value === "object" && !Array.isArray(value)) {
      const entries = Object.entries(value);
      if (entries.every(([, item]) => typeof item === "string")) {
        return Object.fromEntries(entries);
      }
    }
    this.problem(key, "want texts by name");
    return {};
  }
  mapping(key: string): Fields | undefined {
    const value = this.raw(key);
    if (value === undefined || value === null) return undefined;
    return new Fields(value, this.at(key), this.#problems);
  }
  list(key: string): Fields[] {
    const value = this.raw(key) ?? [];
    if (!Array.isArray(value)) {
      this.problem(key, "want a list");
      return [];
    }
    return value.map(
      (item, index) => new Fields(item, `${this.at(key)}[${index}]`, this.#problems),
    );
  }
  /** Names every key that nobody asked for. */
  finish(): void {
    for (const key of Object.keys(this.#values)) {
      if (!this.#seen.has(key)) this.problem(key, "not supported by dockline play");
    }
  }
}
