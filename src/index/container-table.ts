import type {
  ContainerCreate,
  ContainerInspect,
  ContainerSummary,
  EngineEvent,
} from "../engine/types.ts";
import type { ContainerEntry, Mark, ObjectKind } from "./container-index.ts";
import { merge, nameOf, ownName, wantsKillEvidence, type Fact } from "./container-merge.ts";
import { knownOfCreate, knownOfInspect, knownOfSummary } from "./container-birth.ts";
import { isNewContradiction, newRecord, readOwn } from "./container-record.ts";
import type { ContainerRecord, ReadIdentity } from "./container-record.ts";
import { phaseOf } from "./container-state.ts";
import { parseName } from "../convert/names.ts";
import { RecentMap } from "../sys/recent-map.ts";
import { lifecycleSteps, startedAnew } from "./lifecycle.ts";
import { RecordStore } from "./record-store.ts";
import type { TableHooks } from "./table-hooks.ts";
import type { Tick } from "./tick.ts";

/** Ids of removed objects that late events, lists and inspects may still speak of. */
const TOMBSTONES = 4096;

/**
 * Merges what the engine says, in whatever order it arrives, into one account of each object.
 * Nothing here waits or asks; an answer counts only if its request began after the last change.
 */
export class ContainerTable {
  readonly #records = new RecordStore();
  readonly #tombstones = new RecentMap<number>(TOMBSTONES);
  /** Order of the last event of objects that were not known yet: their inspect may be older. */
  readonly #heard = new RecentMap<number>(TOMBSTONES);
  /** Order of the last gap in the events. */
  #gapAt = 0;
  readonly #dirty = new Set<string>();
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
    return this.#records.list(kind);
  }

  /** Containers of one sandbox, in the same order. */
  members(podSandboxId: string): readonly ContainerEntry[] {
    return this.#records.members(podSandboxId);
  }

  byName = (name: string): ContainerEntry | undefined => this.#records.byName(name);

  /** Order of the object's last change; 0 when it is not known. */
  changedAt(id: string): number {
    return this.#records.get(id)?.known.changedAt ?? 0;
  }

  /** The object whose inspect is the oldest, if it began before this (Clock.monotonicMs()). */
  oldestInspected(beforeMs: number): string | undefined {
    return this.#records.oldestInspected(beforeMs);
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
      this.#hooks.onUnknown(id, event.Action === "create");
      return;
    }
    if (event.Action === "create") return;
    const sawIt = (mark: Mark | undefined): boolean =>
      mark !== undefined && this.#tick.covers(mark, event.timeNano);
    const seenBy = sawIt(record.known.inspected)
      ? "inspected"
      : sawIt(record.flight)
        ? "flight"
        : "none";
    const order = this.#tick.next();
    this.#merge(record, { kind: "event", event, order, seenBy }, event.timeNano);
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
      if (record.imageLabelsMissing) this.#identify(record, summary.Labels ?? {});
      record.seenAt = Math.max(record.seenAt, since.order);
      const fact = { kind: "list", summary, since, order: this.#tick.next() } as const;
      if (this.#merge(record, fact, since.wallNs) && isNewContradiction(record, fact)) repairs += 1;
      else if (record.known.dirty) this.#hooks.onDirty(summary.Id, false);
      else record.contradiction = undefined;
    }
    for (const record of this.#records) {
      const { id } = record.entry;
      // What changed or was made after the list began is for the next list, or an inspect's 404.
      const { changedAt } = record.known;
      if (listed.has(id) || changedAt > since.order || record.seenAt > since.order) continue;
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
    const { legacy } = record.entry.identity;
    const known = merge(record.known, { kind: "inspect", inspect, since, legacy });
    if (known === record.known) return;
    record.known = known;
    record.seenAt = Math.max(record.seenAt, since.order);
    if (known.name !== record.entry.name || record.imageLabelsMissing) {
      if (!this.#identify(record, inspect.Config.Labels ?? {})) {
        // Renamed to what is none of ours: for the CRI it is gone.
        this.remove(id, since.wallNs);
        return;
      }
    }
    this.#changed(record, since.wallNs);
  }

  created(id: string, name: string, create: ContainerCreate): void {
    if (this.#tombstones.has(id)) return;
    if (this.#records.get(id) !== undefined) {
      this.touched(id);
      return;
    }
    const read = this.#read(name, create.Labels, create.Image);
    if (read === undefined) return;
    const mark = this.#tick.mark();
    const record = newRecord(id, read, knownOfCreate(name, create, mark));
    this.#add(record, mark.wallNs, false, true);
  }

  touched(id: string, now?: "running" | "exited"): void {
    const record = this.#records.get(id);
    if (record === undefined) return;
    const mark = this.#tick.mark();
    this.#merge(record, { kind: "write", now, mark }, mark.wallNs);
  }

  /** All that is derived from the entry is derived again; the engine is not asked. */
  touchedRecord(id: string): void {
    const record = this.#records.get(id);
    if (record !== undefined) this.#changed(record, this.#tick.mark().wallNs);
  }

  /**
   * Events before this order may be lost. A container that had not ended may have been restarted or
   * have other limits, which only an inspect shows. One that had ended is inspected when somebody asks for it (`suspect`).
   */
  gap(atOrder: number): void {
    this.#gapAt = atOrder;
    for (const record of this.#records) {
      if (record.phase === "stopped" || !this.suspect(record.entry.id)) continue;
      this.#merge(record, { kind: "gap", order: atOrder }, 0n);
    }
  }

  /** Order that an inspect must have begun after to be the last word. */
  mustBeNewerThan(id: string): number {
    return Math.max(this.changedAt(id), this.#gapAt);
  }

  /** True when events may have been lost since the object's last inspect. */
  suspect(id: string): boolean {
    return (this.#records.get(id)?.known.inspected?.order ?? 0) < this.#gapAt;
  }

  remove(id: string, atNs: bigint): void {
    this.#tombstones.set(id, this.#tick.next());
    const record = this.#records.get(id);
    if (record === undefined) return;
    this.#records.remove(record);
    this.#dirty.delete(id);
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
    this.#add(
      newRecord(summary.Id, read, knownOfSummary(summary, name, since)),
      since.wallNs,
      quiet,
    );
    return true;
  }

  #addInspect(inspect: ContainerInspect, since: Mark): ContainerRecord | undefined {
    const name = nameOf(inspect.Name);
    const read = this.#read(name, inspect.Config.Labels ?? {}, inspect.Image);
    if (read === undefined) return undefined;
    const known = knownOfInspect(inspect, name, since);
    const heardAt = this.#heard.get(inspect.Id) ?? 0;
    const changedAt = Math.max(known.changedAt, heardAt, this.#gapAt);
    const record = newRecord(inspect.Id, read, { ...known, changedAt });
    this.#add(record, since.wallNs, false);
    return record;
  }

  #read(name: string, labels: Record<string, string>, imageId: string): ReadIdentity | undefined {
    return readOwn(name, labels, () => this.#hooks.imageLabels(imageId));
  }

  /** False when the object, under the name that it has now, is not ours. */
  #identify(record: ContainerRecord, labels: Record<string, string>): boolean {
    const { name, imageId } = record.known;
    const read = this.#read(name, labels, imageId);
    if (read === undefined) return false;
    record.imageLabelsMissing = read.imageLabelsMissing;
    this.#records.replace(record, read.identity);
    return true;
  }

  #add(record: ContainerRecord, atNs: bigint, quiet: boolean, born = false): void {
    const { id } = record.entry;
    this.#tombstones.delete(id);
    this.#records.add(record);
    this.#markDirty(record, born);
    if (quiet) return;
    for (const kind of lifecycleSteps(undefined, record.phase)) {
      this.#hooks.onChange({ kind, entry: record.entry, atNs });
    }
  }

  /** False when the fact tells nothing new. */
  #merge(record: ContainerRecord, fact: Fact, atNs: bigint): boolean {
    const known = merge(record.known, fact);
    if (known === record.known) return false;
    record.known = known;
    this.#changed(record, atNs);
    return true;
  }

  #changed(record: ContainerRecord, atNs: bigint): void {
    const before = record.entry;
    // The engine reports an OOM kill late, and not at all for a container that lived briefly; the kernel's log has it too.
    if (wantsKillEvidence(record.known) && this.#hooks.oomKilled(before.id)) {
      record.known = merge(record.known, { kind: "killed" });
    }
    this.#records.replace(record);
    this.#markDirty(record);
    const phase = phaseOf(record.known.state);
    const again = startedAnew(before.state, record.known.state);
    const steps = lifecycleSteps(record.phase, phase, again);
    record.phase = phase;
    for (const kind of steps) this.#hooks.onChange({ kind, entry: record.entry, atNs });
  }

  #markDirty({ entry: { id }, known }: ContainerRecord, born = false): void {
    if (!known.dirty) this.#dirty.delete(id);
    else {
      this.#dirty.add(id);
      this.#hooks.onDirty(id, born);
    }
  }
}
