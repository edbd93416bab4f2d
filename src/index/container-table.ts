import type {
  ContainerCreate,
  ContainerInspect,
  ContainerSummary,
  EngineEvent,
} from "../engine/types.ts";
import type { ContainerEntry, Mark, ObjectKind } from "./container-index.ts";
import {
  isLater,
  mergeEvent,
  mergeInspect,
  mergeOomEvidence,
  mergeSummary,
  setStatus,
} from "./container-merge.ts";
import { recordOfCreate, recordOfInspect, recordOfSummary } from "./container-birth.ts";
import {
  nameOf,
  ownName,
  readOwn,
  replaceEntry,
  type ContainerRecord,
  type ReadIdentity,
} from "./container-record.ts";
import { phaseOf } from "./container-state.ts";
import { parseName } from "../convert/names.ts";
import { lifecycleSteps, startedAnew } from "./lifecycle.ts";
import { byCreation } from "./list-order.ts";
import { RecentMap } from "./recent-map.ts";
import type { TableHooks } from "./table-hooks.ts";
import type { Tick } from "./tick.ts";

/** Ids of removed objects that late events, lists and inspects may still speak of. */
const TOMBSTONES = 4096;

/**
 * Merges what the engine says, in whatever order it arrives, into one account of each object.
 * Nothing here waits or asks; an answer counts only if its request began after the last change.
 */
export class ContainerTable {
  readonly #records = new Map<string, ContainerRecord>();
  readonly #tombstones = new RecentMap<number>(TOMBSTONES);
  /** Order of the last event of objects that were not known yet: their inspect may be older. */
  readonly #heard = new RecentMap<number>(TOMBSTONES);
  /** Order of the last gap in the events. */
  #gapAt = 0;
  readonly #dirty = new Set<string>();
  readonly #listed = new Map<ObjectKind, readonly ContainerEntry[]>();
  readonly #tick: Tick;
  readonly #hooks: TableHooks;
  constructor(tick: Tick, hooks: TableHooks) {
    this.#tick = tick;
    this.#hooks = hooks;
  }

  get size(): number {
    return this.#records.size;
  }

  get dirtyIds(): ReadonlySet<string> {
    return this.#dirty;
  }

  get(id: string): ContainerEntry | undefined {
    return this.#records.get(id)?.entry;
  }

  /** In the order of their creation, so that a restart or a clock that is set changes no list. */
  list(kind: ObjectKind): readonly ContainerEntry[] {
    let entries = this.#listed.get(kind);
    if (entries === undefined) {
      entries = [...this.#records.values()]
        .map((record) => record.entry)
        .filter((entry) => entry.kind === kind)
        .sort(byCreation);
      this.#listed.set(kind, entries);
    }
    return entries;
  }

  byName(name: string): ContainerEntry | undefined {
    for (const { entry } of this.#records.values()) if (entry.name === name) return entry;
    return undefined;
  }

  /** Order of the object's last change; 0 when it is not known. */
  changedAt(id: string): number {
    return this.#records.get(id)?.changedAt ?? 0;
  }

  /** The object whose inspect is the oldest, if it began before this (Clock.monotonicMs()). */
  oldestInspected(beforeMs: number): string | undefined {
    let oldest: string | undefined;
    let oldestMs = beforeMs;
    for (const [id, { inspected }] of this.#records) {
      if (inspected === undefined || inspected.monotonicMs >= oldestMs) continue;
      oldest = id;
      oldestMs = inspected.monotonicMs;
    }
    return oldest;
  }

  /** Tells the table which request may answer for the object, so that events can be compared. */
  inFlight(id: string, mark: Mark | undefined): void {
    const record = this.#records.get(id);
    if (record !== undefined) record.flight = mark;
  }

  applyEvent(event: EngineEvent): void {
    const id = event.Actor.ID;
    if (event.Action === "destroy") {
      this.remove(id, event.timeNano);
      return;
    }
    if (this.#tombstones.has(id)) return;
    const record = this.#records.get(id);
    if (record === undefined) {
      // Only names that can be ours: a busy foreign container must cost nothing.
      if (parseName(event.Actor.Attributes["name"] ?? "") === undefined) return;
      this.#heard.set(id, this.#tick.next());
      this.#hooks.onUnknown(id);
      return;
    }
    if (event.Action === "create") return;
    if (event.Action === "oom" && event.timeNano > record.oomNs) {
      record.oomNs = event.timeNano;
      this.#changed(record, event.timeNano);
    }
    const { inspected } = record;
    if (inspected !== undefined && this.#tick.covers(inspected, event.timeNano)) return;
    mergeEvent(record, event, this.#tick);
    this.#changed(record, event.timeNano);
  }

  /** Returns how many objects were not as the table had them. */
  applyList(summaries: readonly ContainerSummary[], since: Mark, quiet: boolean): number {
    let repairs = 0;
    const listed = new Set<string>();
    for (const summary of summaries) {
      listed.add(summary.Id);
      const record = this.#records.get(summary.Id);
      if (record === undefined) {
        repairs += this.#addSummary(summary, since, quiet) ? 1 : 0;
        continue;
      }
      if (record.imageLabelsMissing) this.#identify(record, record.entry.name);
      if (mergeSummary(record, summary, since, this.#tick)) {
        repairs += 1;
        this.#changed(record, since.wallNs);
      } else if (record.dirty) this.#hooks.onDirty(summary.Id, false);
    }
    for (const [id, record] of this.#records) {
      // What changed or was made after the list began is for the next list, or an inspect's 404.
      if (listed.has(id) || record.changedAt > since.order || record.seenAt > since.order) continue;
      this.remove(id, since.wallNs);
      repairs += 1;
    }
    return repairs;
  }

  applyInspect(inspect: ContainerInspect, since: Mark): void {
    const id = inspect.Id;
    if ((this.#tombstones.get(id) ?? -1) > since.order) return;
    const record = this.#records.get(id) ?? this.#addInspect(inspect, since);
    if (record === undefined) return;
    if (!mergeInspect(record, inspect, since)) return;
    const name = nameOf(inspect.Name);
    if (name !== record.entry.name || record.imageLabelsMissing) {
      if (!this.#identify(record, name)) {
        // Renamed to what is none of ours: for the CRI it is gone.
        this.remove(id, since.wallNs);
        return;
      }
    }
    this.#changed(record, since.wallNs);
  }

  created(id: string, name: string, create: ContainerCreate): void {
    if (this.#tombstones.has(id)) return;
    if (this.#records.has(id)) {
      this.touched(id);
      return;
    }
    const read = this.#read(name, create.Labels, create.Image);
    if (read === undefined) return;
    const mark = this.#tick.mark();
    this.#add(recordOfCreate(id, name, create, read, mark), mark.wallNs, false, true);
  }

  touched(id: string, now?: "running" | "exited"): void {
    const record = this.#records.get(id);
    if (record === undefined) return;
    const mark = this.#tick.mark();
    record.changedAt = mark.order;
    record.dirty = true;
    // Only forward: a container that died at once has been heard of before its start's answer.
    if (now !== undefined && isLater(now, record.state.Status)) setStatus(record, now, mark);
    this.#changed(record, mark.wallNs);
  }

  /** All that is derived from the entry is made anew; the engine is not asked. */
  touchedRecord(id: string): void {
    const record = this.#records.get(id);
    if (record !== undefined) this.#changed(record, this.#tick.mark().wallNs);
  }

  /** After a gap in the events nothing but a new inspect says what happened. */
  touchAll(): void {
    this.#gapAt = this.#tick.next();
    for (const record of this.#records.values()) {
      record.changedAt = this.#gapAt;
      record.dirty = true;
      this.#changed(record, 0n);
    }
  }

  remove(id: string, atNs: bigint): void {
    this.#tombstones.set(id, this.#tick.next());
    const record = this.#records.get(id);
    if (record === undefined) return;
    this.#records.delete(id);
    this.#dirty.delete(id);
    this.#listed.delete(record.entry.kind);
    for (const kind of lifecycleSteps(record.phase, "deleted")) {
      this.#hooks.onChange({ kind, entry: record.entry, atNs });
    }
  }

  #addSummary(summary: ContainerSummary, since: Mark, quiet: boolean): boolean {
    if ((this.#tombstones.get(summary.Id) ?? -1) > since.order) return false;
    const name = ownName(summary);
    if (name === undefined) return false;
    const read = this.#read(name, summary.Labels ?? {}, summary.ImageID);
    if (read === undefined) return false;
    this.#add(recordOfSummary(summary, name, read, since), since.wallNs, quiet);
    return true;
  }

  #addInspect(inspect: ContainerInspect, since: Mark): ContainerRecord | undefined {
    const name = nameOf(inspect.Name);
    const read = this.#read(name, inspect.Config.Labels ?? {}, inspect.Image);
    if (read === undefined) return undefined;
    const record = recordOfInspect(inspect, name, read, since);
    const { changedAt } = record;
    record.changedAt = Math.max(changedAt, this.#heard.get(inspect.Id) ?? 0, this.#gapAt);
    this.#add(record, since.wallNs, false);
    return record;
  }

  #read(name: string, labels: Record<string, string>, imageId: string): ReadIdentity | undefined {
    return readOwn(name, labels, () => this.#hooks.imageLabels(imageId));
  }

  /** False when the object, under this name, is not ours. */
  #identify(record: ContainerRecord, name: string): boolean {
    const imageId = record.inspect?.Image ?? record.entry.imageId;
    const read = this.#read(name, record.labels, imageId);
    if (read === undefined) return false;
    record.imageLabelsMissing = read.imageLabelsMissing;
    replaceEntry(record, read.identity);
    return true;
  }

  #add(record: ContainerRecord, atNs: bigint, quiet: boolean, born = false): void {
    const { id } = record.entry;
    this.#tombstones.delete(id);
    this.#records.set(id, record);
    this.#listed.delete(record.entry.kind);
    this.#markDirty(record, born);
    if (quiet) return;
    for (const kind of lifecycleSteps(undefined, record.phase)) {
      this.#hooks.onChange({ kind, entry: record.entry, atNs });
    }
  }

  #changed(record: ContainerRecord, atNs: bigint): void {
    const before = record.entry.state;
    mergeOomEvidence(record, this.#hooks);
    replaceEntry(record);
    this.#listed.delete(record.entry.kind);
    this.#markDirty(record);
    const phase = phaseOf(record.state);
    const steps = lifecycleSteps(record.phase, phase, startedAnew(before, record.state));
    record.phase = phase;
    for (const kind of steps) this.#hooks.onChange({ kind, entry: record.entry, atNs });
  }

  #markDirty({ entry: { id }, dirty }: ContainerRecord, born = false): void {
    if (!dirty) this.#dirty.delete(id);
    else {
      this.#dirty.add(id);
      this.#hooks.onDirty(id, born);
    }
  }
}
