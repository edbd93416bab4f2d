import {
  fullReference,
  lookupReference,
  normalizeListed,
  parseImageId,
  parseImageReference,
  repositoryOf,
} from "../convert/image-ref.ts";
import type { Engine } from "../engine/engine.ts";
import { isStatus } from "../engine/errors.ts";
import type { ImageInspect, ImageSummary } from "../engine/image-types.ts";
import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { outsideCall } from "../sys/call-trace.ts";
import { Semaphore, SingleFlight } from "../sys/mutex.ts";
import { inspectFromSummary, isShortId, sameSummary, toEntry } from "./image-entry.ts";
import type { ImageEntry, ImageIndex } from "./image-index.ts";
import { RecentMap } from "./recent-map.ts";
import type { Sleeper } from "./sleeper.ts";
import type { Tick } from "./tick.ts";

/** "memory": as last known, even if changed since; "followed": memory is right unless marked changed. */
export type ReadSource = "followed" | "memory" | "engine";

const REQUEST_MS = 10_000;
const READ_BUDGET_MS = 3_000;
/** Several events belong to one pull. */
const SETTLE_MS = 50;
const INSPECTS_AT_ONCE = 8;
const LABELS_KEPT = 4096;

export interface ImageTableDeps {
  engine: Engine;
  log: Logger;
  tick: Tick;
  sleeper: Sleeper;
  signal: AbortSignal;
  /** What a read may do at this moment; throws CriError Unavailable when it may do nothing. */
  source(): ReadSource;
  /** Other names to look for when the engine has none of the asked one. */
  aliases(reference: string): string[];
}

interface Flight {
  order: number;
  promise: Promise<void>;
}

/** Images by what their list and inspects say; every change is asked for, events only say when. */
export class ImageTable implements ImageIndex {
  readonly #entries = new Map<string, ImageEntry>();
  readonly #names = new Map<string, string>();
  readonly #labels = new RecentMap<Record<string, string> | null>(LABELS_KEPT);
  readonly #stale = new Set<string>();
  /** Images that a find brought in, and when: a list that began before may not know them. */
  readonly #found = new Map<string, number>();
  readonly #labelFlights = new SingleFlight<Record<string, string> | undefined>();
  readonly #inspects = new Semaphore(INSPECTS_AT_ONCE);
  readonly #deps: ImageTableDeps;
  #flight: Flight | undefined;
  #changedAt: number;
  #listedAt = 0;
  #revision = 0;
  #refreshSoon: (() => void) | undefined;
  constructor(deps: ImageTableDeps) {
    this.#deps = deps;
    this.#changedAt = deps.tick.next();
  }

  get revision(): number {
    return this.#revision;
  }

  async list(): Promise<readonly ImageEntry[]> {
    await this.#current();
    return [...this.#entries.values()];
  }

  async find(reference: string): Promise<ImageEntry | undefined> {
    await this.#current();
    const names = [reference, ...this.#deps.aliases(reference)];
    for (const name of names) {
      const known = this.#resolve(name);
      if (known !== undefined) return known;
    }
    for (const name of names) {
      const found = await this.#ask(name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** An image that memory does not know may be new. */
  async #ask(reference: string): Promise<ImageEntry | undefined> {
    const name = isShortId(reference) ? reference : lookupReference(reference);
    const order = this.#deps.tick.next();
    try {
      const inspect = await outsideCall(() => this.#inspect(name));
      this.#entries.set(inspect.Id, toEntry(inspect, undefined, ++this.#revision));
      this.#found.set(inspect.Id, order);
      this.#rebuildNames();
      // The list has not shown it: whatever else is new comes with the next one.
      this.touched();
      return this.#entries.get(inspect.Id);
    } catch (error) {
      if (isStatus(error, 404))
        return this.#listedAt > order ? this.#resolve(reference) : undefined;
      throw new CriError("Unavailable", `image: ${errorText(error)}`, { cause: error });
    }
  }

  peek(imageId: string): ImageEntry | undefined {
    return this.#entries.get(imageId);
  }

  /** As labelsOf, from memory: undefined when it was not asked for yet, null when it is gone. */
  labelsInMemory(imageId: string): Record<string, string> | null | undefined {
    return this.#labels.get(imageId);
  }

  async labelsOf(imageId: string): Promise<Record<string, string> | undefined> {
    const known = this.#labels.get(imageId);
    if (known !== undefined) return known ?? undefined;
    return this.#labelFlights.run(imageId, async () => {
      try {
        return (await outsideCall(() => this.#inspect(imageId))).Config?.Labels ?? {};
      } catch (error) {
        if (!isStatus(error, 404)) throw error;
        this.#labels.set(imageId, null);
        return undefined;
      }
    });
  }

  touched(): void {
    this.#changedAt = this.#deps.tick.next();
    this.#refreshSoon ??= this.#deps.sleeper.after(SETTLE_MS, () => {
      this.#refreshSoon = undefined;
      void this.#quietRefresh();
    });
  }

  /** An image event: which image it names is asked for anew. */
  applyEvent(imageId: string): void {
    if (imageId !== "") this.#stale.add(imageId);
    this.touched();
  }

  /** Asks for the list and for what is new in it; joins a refresh that began after `minOrder`. */
  refresh(minOrder: number): Promise<void> {
    const running = this.#flight;
    if (running !== undefined && running.order > minOrder) return running.promise;
    const flight: Flight = { order: this.#deps.tick.next(), promise: Promise.resolve() };
    flight.promise = outsideCall(() => this.#load(flight.order)).finally(() => {
      if (this.#flight === flight) this.#flight = undefined;
    });
    this.#flight = flight;
    return flight.promise;
  }

  async #quietRefresh(): Promise<void> {
    if (this.#deps.signal.aborted) return;
    try {
      await this.refresh(this.#changedAt);
    } catch (error) {
      this.#deps.log.warn({ error: errorText(error) }, "the list of images failed");
    }
  }

  async #current(): Promise<void> {
    const source = this.#deps.source();
    if (source === "followed" && this.#listedAt > this.#changedAt) return;
    if (source === "memory" && this.#listedAt > 0) return;
    let reason = "the engine's list takes too long";
    try {
      const refreshed = this.refresh(this.#changedAt);
      if ((await this.#deps.sleeper.within(refreshed, READ_BUDGET_MS)) !== "late") return;
    } catch (error) {
      reason = errorText(error);
    }
    this.#deps.log.warn({ error: reason }, "images are served as last known");
    if (this.#listedAt === 0) throw new CriError("Unavailable", `images: ${reason}`);
  }

  async #load(order: number): Promise<void> {
    const { engine, signal } = this.#deps;
    const stale = new Set(this.#stale);
    const summaries = await engine.listImages({ timeoutMs: REQUEST_MS, signal });
    const loaded = await Promise.all(
      summaries.map((summary) => this.#entryFor(summary, stale.has(summary.Id))),
    );
    if (order < this.#listedAt) return;
    const listed = new Set(summaries.map((summary) => summary.Id));
    for (const entry of loaded) if (entry !== undefined) this.#entries.set(entry.id, entry);
    for (const id of this.#entries.keys()) {
      if (listed.has(id) || (this.#found.get(id) ?? 0) > order) continue;
      this.#entries.delete(id);
      this.#found.delete(id);
      this.#revision += 1;
    }
    for (const id of stale) this.#stale.delete(id);
    this.#listedAt = order;
    this.#rebuildNames();
  }

  async #entryFor(summary: ImageSummary, stale: boolean): Promise<ImageEntry | undefined> {
    const known = this.#entries.get(summary.Id);
    if (!stale && known?.summary !== undefined && sameSummary(known.summary, summary)) return known;
    try {
      const inspect = await this.#inspect(summary.Id);
      return toEntry(inspect, summary, ++this.#revision);
    } catch (error) {
      if (isStatus(error, 404)) return undefined;
      this.#deps.log.warn({ image: summary.Id, error: errorText(error) }, "image inspect failed");
      // Without a summary to compare with, the next list asks again.
      return toEntry(inspectFromSummary(summary), undefined, ++this.#revision);
    }
  }

  async #inspect(reference: string): Promise<ImageInspect> {
    const { engine, signal } = this.#deps;
    const inspect = await this.#inspects.run(() =>
      engine.inspectImage(reference, { timeoutMs: REQUEST_MS, signal }),
    );
    this.#labels.set(inspect.Id, inspect.Config?.Labels ?? {});
    return inspect;
  }

  #rebuildNames(): void {
    this.#names.clear();
    for (const { id, repoTags, repoDigests } of this.#entries.values()) {
      for (const name of [...repoTags, ...repoDigests]) this.#names.set(normalizeListed(name), id);
    }
  }

  #resolve(reference: string): ImageEntry | undefined {
    const id = parseImageId(reference);
    if (id !== undefined) return this.#entries.get(id);
    const parsed = parseImageReference(reference);
    if (parsed !== undefined) {
      const name =
        parsed.digest === undefined
          ? fullReference(reference)
          : `${repositoryOf(parsed)}@${parsed.digest}`;
      const named = this.#names.get(name);
      if (named !== undefined) return this.#entries.get(named);
    }
    if (!isShortId(reference)) return undefined;
    const prefix = reference.startsWith("sha256:") ? reference : `sha256:${reference}`;
    const matches = [...this.#entries.values()].filter((entry) => entry.id.startsWith(prefix));
    return matches.length === 1 ? matches[0] : undefined;
  }
}
