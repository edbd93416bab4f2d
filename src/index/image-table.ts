import { lookupReference } from "../convert/image-ref.ts";
import type { Engine } from "../engine/engine.ts";
import { EngineError, isStatus } from "../engine/errors.ts";
import type { ImageInspect, ImageSummary } from "../engine/image-types.ts";
import { CriError, errorText } from "../errors.ts";
import { outsideCall } from "../sys/call-trace.ts";
import { Semaphore, SingleFlight } from "../sys/mutex.ts";
import { RecentMap } from "../sys/recent-map.ts";
import {
  haveSameSummary,
  isShortId,
  listedEntry,
  sameNames,
  sameSummary,
  toEntry,
} from "./image-entry.ts";
import type { ImageEntry, ImageIndex, ReadSource } from "./image-index.ts";
import { ImageNames } from "./image-names.ts";
import { ImageQueue } from "./image-queue.ts";
import type { ImageQueueDeps } from "./image-queue.ts";
import type { Tick } from "./tick.ts";

const REQUEST_MS = 10_000;
/** Containerd's store takes its time for thousands of images; a read waits for READ_BUDGET_MS only. */
const LIST_MS = 60_000;
const READ_BUDGET_MS = 3_000;
/** Several events belong to one pull. */
const SETTLE_MS = 50;
const INSPECTS_AT_ONCE = 8;
/** More new images than this are listed before they are inspected, one by one and not too fast. */
const INSPECTED_AT_ONCE = 8;
const LABELS_KEPT = 4096;

export interface ImageTableDeps extends Omit<ImageQueueDeps, "look" | "isWanted"> {
  engine: Engine;
  tick: Tick;
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
  readonly #names = new ImageNames();
  readonly #labels = new RecentMap<Record<string, string> | null>(LABELS_KEPT);
  readonly #stale = new Set<string>();
  /** Images that a find brought in, and when: a list that began before may not know them. */
  readonly #found = new Map<string, number>();
  /** Images to be inspected when nobody waits for it. */
  readonly #later: ImageQueue;
  readonly #looks = new SingleFlight<"there" | "gone">();
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
    this.#later = new ImageQueue({
      ...deps,
      look: (id) => outsideCall(() => this.#look(id)),
      isWanted: (id) => this.#entries.get(id)?.inspected === false,
    });
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
      const known = this.#names.resolve(name);
      if (known !== undefined) return known.inspected ? known : await this.#inspected(known);
    }
    for (const name of names) {
      const found = await this.#ask(name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The image after its inspect, before those that nobody waits for; as listed where Docker refuses that. */
  async #inspected({ id }: ImageEntry): Promise<ImageEntry | undefined> {
    try {
      const look = outsideCall(() => this.#look(id));
      const found = await this.#deps.sleeper.within(look, READ_BUDGET_MS);
      if (found === "gone") return undefined;
      if (found === "late") {
        throw new CriError("Unavailable", `image ${id}: docker takes too long to inspect it`);
      }
    } catch (error) {
      if (error instanceof CriError) throw error;
      if (!(error instanceof EngineError && error.failure === "status")) {
        throw new CriError("Unavailable", `image: ${errorText(error)}`, { cause: error });
      }
    }
    return this.#entries.get(id);
  }

  #look(id: string): Promise<"there" | "gone"> {
    return this.#looks.run(id, async () => {
      try {
        let asked: ImageEntry | undefined;
        let before: ImageEntry | undefined;
        let inspect: ImageInspect;
        do {
          asked = this.#entries.get(id);
          inspect = await this.#inspect(id);
          before = this.#entries.get(id);
          // Names that a list has brought meanwhile are newer than those of the answer.
        } while (before?.inspected === false && !haveSameSummary(asked, before));
        if (before === undefined || (before !== asked && before.inspected)) return "there";
        const entry = toEntry(inspect, before.summary, this.#revision);
        this.#entries.set(id, entry);
        this.#later.delete(id);
        if (sameNames(before, entry)) this.#names.replace(before, entry);
        else {
          this.#revision += 1;
          this.#names.rebuild(this.#entries);
        }
        return "there";
      } catch (error) {
        if (!isStatus(error, 404)) throw error;
        // The next list says so, too.
        this.touched();
        return "gone";
      }
    });
  }

  /** An image that memory does not know may be new. */
  async #ask(reference: string): Promise<ImageEntry | undefined> {
    const name = isShortId(reference) ? reference : lookupReference(reference);
    const order = this.#deps.tick.next();
    try {
      const inspect = await outsideCall(() => this.#inspect(name));
      this.#entries.set(inspect.Id, toEntry(inspect, undefined, ++this.#revision));
      this.#found.set(inspect.Id, order);
      this.#names.rebuild(this.#entries);
      // The list has not shown it: whatever else is new comes with the next one.
      this.touched();
      return this.#entries.get(inspect.Id);
    } catch (error) {
      if (isStatus(error, 404))
        return this.#listedAt > order ? this.#names.resolve(reference) : undefined;
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

  /** An image event: which image it names is looked up again. */
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
    const summaries = await engine.listImages({ timeoutMs: LIST_MS, signal });
    const changed = summaries.filter((summary) => {
      const known = this.#entries.get(summary.Id)?.summary;
      return known === undefined || stale.has(summary.Id) || !sameSummary(known, summary);
    });
    const few = changed.length <= INSPECTED_AT_ONCE;
    const loaded = few ? await Promise.all(changed.map((each) => this.#entryFor(each))) : changed;
    if (order < this.#listedAt) return;
    const listed = new Set(summaries.map((summary) => summary.Id));
    for (const each of loaded) this.#put(each);
    for (const id of this.#entries.keys()) {
      if (listed.has(id) || (this.#found.get(id) ?? 0) > order) continue;
      this.#entries.delete(id);
      this.#later.delete(id);
      this.#found.delete(id);
      this.#revision += 1;
    }
    for (const id of stale) this.#stale.delete(id);
    this.#listedAt = order;
    this.#names.rebuild(this.#entries);
    this.#later.work();
  }

  /** An inspected entry, or the list's of an image that is still to be inspected; undefined: gone. */
  #put(found: ImageEntry | ImageSummary | undefined): void {
    if (found === undefined) return;
    if ("id" in found) {
      this.#entries.set(found.id, found);
      this.#later.delete(found.id);
    } else {
      const known = this.#entries.get(found.Id);
      this.#entries.set(found.Id, listedEntry(found, known, ++this.#revision));
      this.#later.add(found.Id);
    }
  }

  async #entryFor(summary: ImageSummary): Promise<ImageEntry | ImageSummary | undefined> {
    try {
      return toEntry(await this.#inspect(summary.Id), summary, ++this.#revision);
    } catch (error) {
      if (isStatus(error, 404)) return undefined;
      // In the background it is tried again, and told of.
      return summary;
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
}
