import { nearest } from "../../config/nearest.ts";

/** One step from a document's root to a field: a key, or an index of a list. */
export type PathPart = string | number;

/** Something to say about one field of a manifest. */
export interface Remark {
  path: readonly PathPart[];
  text: string;
}

/** What reading a document has found, besides what it says. */
export interface Report {
  /** What keeps the manifest from being played. */
  problems: Remark[];
  /** Fields that are understood, and have no effect here. */
  passedOver: Remark[];
}

/** Keys that Kubernetes knows and that were not asked for. */
export interface OtherKeys {
  /** Without a meaning for one pod on one node, or left out by play: with the reason. */
  passedOver?: Readonly<Record<string, string>>;
  /** Would change what the pod does, so the manifest is refused. */
  unsupported?: readonly string[];
}

export const pathText = (path: readonly PathPart[]): string =>
  path
    .map((part, at) => (typeof part === "number" ? `[${part}]` : at === 0 ? part : `.${part}`))
    .join("");

/**
 * Reads one mapping of a manifest and remembers which of its keys were asked for, so that whatever
 * is left over can be named instead of being ignored.
 */
export class Fields {
  readonly path: readonly PathPart[];
  readonly #values: Record<string, unknown>;
  readonly #report: Report;
  readonly #seen = new Set<string>();

  constructor(value: unknown, path: readonly PathPart[], report: Report) {
    this.path = path;
    this.#report = report;
    const mapping = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!mapping) report.problems.push({ path, text: "want a mapping" });
    this.#values = mapping ? (value as Record<string, unknown>) : {};
  }

  problem(key: string, text: string): void {
    this.#report.problems.push({ path: [...this.path, key], text });
  }
  passOver(key: string, text: string): void {
    this.#report.passedOver.push({ path: [...this.path, key], text });
  }
  /** The whole mapping, as it was read. */
  get value(): unknown {
    return this.#values;
  }
  raw(key: string): unknown {
    this.#seen.add(key);
    return this.#values[key];
  }
  /** Keys that say nothing to anybody but a server, taken without a word. */
  ignore(...keys: string[]): void {
    for (const key of keys) this.#seen.add(key);
  }
  has(key: string): boolean {
    return this.#values[key] !== undefined && this.#values[key] !== null;
  }
  /** The keys of a mapping by names of the manifest's own, such as a ConfigMap's data. */
  keys(): string[] {
    return Object.keys(this.#values);
  }

  text(key: string, fallback = ""): string {
    const value = this.raw(key) ?? fallback;
    if (typeof value === "string") return value;
    this.problem(key, "want text");
    return fallback;
  }
  /** Text that has to be one of a few words. */
  choice<T extends string>(key: string, words: readonly T[], fallback: T): T {
    const text = this.text(key, fallback);
    const found = words.find((word) => word === text);
    if (found === undefined) this.problem(key, `${text} is not one of ${words.join(", ")}`);
    return found ?? fallback;
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
  /** A whole number that is not below `least`. */
  count(key: string, fallback: number, least = 0): number {
    const value = this.integer(key) ?? fallback;
    if (value >= least) return value;
    this.problem(key, `want ${least} or more`);
    return fallback;
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
    return new Fields(value, [...this.path, key], this.#report);
  }
  list(key: string): Fields[] {
    const value = this.raw(key) ?? [];
    if (!Array.isArray(value)) {
      this.problem(key, "want a list");
      return [];
    }
    return value.map((item, index) => new Fields(item, [...this.path, key, index], this.#report));
  }
  /** Names every key that nobody asked for: as passed over, as unsupported, or as unknown. */
  finish({ passedOver = {}, unsupported = [] }: OtherKeys = {}): void {
    for (const key of Object.keys(this.#values)) {
      if (this.#seen.has(key) || !this.has(key)) continue;
      const why = Object.hasOwn(passedOver, key) ? passedOver[key] : undefined;
      if (why !== undefined) this.passOver(key, why);
      else if (unsupported.includes(key)) this.problem(key, "not supported by dockline play");
      else {
        const known = [...this.#seen, ...Object.keys(passedOver), ...unsupported];
        this.problem(key, `unknown field${nearest(key, known, "")}`);
      }
    }
  }
}
