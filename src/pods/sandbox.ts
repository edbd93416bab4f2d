import type { AskedName, SandboxId } from "../convert/names.ts";
import { CriError } from "../errors.ts";
import type { SandboxPhase, SandboxRecord } from "../state/sandbox-records.ts";
import type { Caller, RecordedSandbox, SandboxChange } from "./recorded.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import { idsOfRecord, lookUpSandbox } from "./lookup.ts";
import type { FoundSandbox } from "./lookup.ts";
import type { WantedSandbox } from "./pause-container.ts";
import { isHalfDone, phaseOf, requireTransition } from "./phases.ts";
import { runsAlready } from "./reuse.ts";
import { setUp } from "./set-up.ts";
import { asAsked, makingRoom, removeLeftOver, settling, takeDown } from "./teardown.ts";
import type { Unclaimed } from "./unclaimed.ts";

/** With `giveUp`, whatever CNI DEL says. */
type EndCaller = { signal?: AbortSignal; giveUp?: boolean };

/**
 * One pod sandbox, by the name that it is asked for. It alone writes the record, holds the lock, knows
 * the set-up under way and decides when a result that nobody fetched is taken away. phases.ts has the
 * phases; set-up.ts is the way up, teardown.ts the one way down.
 */
export class Sandbox implements RecordedSandbox {
  readonly name: AskedName;
  readonly #deps: SandboxDeps;
  #setUp: { controller: AbortController; ended: Promise<void> } | undefined;
  readonly #unclaimed: Unclaimed;
  /** Why the last CNI DEL of a pod without a record failed; a record says it itself. */
  #foreignDelFailure: { id: string; failure: string } | undefined;
  /** Calls that work on it or wait for their turn. */
  #calls = 0;

  constructor(name: AskedName, deps: SandboxDeps, unclaimed: Unclaimed) {
    this.name = name;
    this.#deps = deps;
    this.#unclaimed = unclaimed;
  }

  get record(): SandboxRecord | undefined {
    return this.#deps.records.byName(this.name);
  }

  get id(): SandboxId | undefined {
    return this.record?.id as SandboxId | undefined;
  }

  /** Why the last CNI DEL of this pause container failed; a left-over may have the same asked name. */
  delFailureOf(id: string): string | undefined {
    if (this.record?.id === id) return this.record.delFailure;
    return this.#foreignDelFailure?.id === id ? this.#foreignDelFailure.failure : undefined;
  }

  /** CNI DEL of a pod without a record has failed, or with undefined has succeeded. */
  noteForeignDel(id: string, failure: string | undefined): void {
    if (failure !== undefined) this.#foreignDelFailure = { id, failure };
    else if (this.#foreignDelFailure?.id === id) this.#foreignDelFailure = undefined;
  }

  /** What was noted of a container that Docker has lost is of no use to anybody. */
  dropLostNote(): void {
    const { id } = this.#foreignDelFailure ?? {};
    if (id !== undefined && this.#deps.index.peek(id) === undefined)
      this.noteForeignDel(id, undefined);
  }

  /** True if it has no call, no record and no timer, so that it can be dropped and made again when asked for. */
  get isForgotten(): boolean {
    if (this.#calls > 0 || this.#unclaimed.isWaiting) return false;
    return this.record === undefined && this.#foreignDelFailure === undefined;
  }

  /**
   * RunPodSandbox. One that runs with this very configuration is reused; what is partially created or dead is
   * taken down first.
   *
   * @throws CriError AlreadyExists when it runs with another configuration, and what set-up.ts says
   */
  async bringTo(phase: "ready", wanted: WantedSandbox, caller: Caller): Promise<SandboxId>;
  /** StopPodSandbox and RemovePodSandbox of one pause container. */
  async bringTo(
    phase: "stopped" | "gone",
    found: FoundSandbox,
    caller: EndCaller,
  ): Promise<undefined>;
  async bringTo(
    phase: "ready" | "stopped" | "gone",
    what: WantedSandbox | FoundSandbox,
    caller: Caller | EndCaller,
  ): Promise<SandboxId | undefined> {
    if (phase === "ready") return await this.#bringUp(what as WantedSandbox, caller as Caller);
    await this.#bringDown(phase, what as FoundSandbox, caller);
    return undefined;
  }

  async #bringUp(wanted: WantedSandbox, caller: Caller): Promise<SandboxId> {
    return await this.#locked(async () => {
      const { id, reused } = await this.#runOrReuse(wanted, caller);
      // The kubelet gave up waiting but will ask again: its retry gets this sandbox.
      if (!caller.signal.aborted) this.claim();
      else if (!reused) this.#unclaimed.wait(() => this.#discardUnused(id));
      return id;
    }, caller.signal);
  }

  async #runOrReuse(
    wanted: WantedSandbox,
    caller: Caller,
  ): Promise<{ id: SandboxId; reused: boolean }> {
    const { index } = this.#deps;
    const { record } = this;
    const entry =
      record?.id === undefined
        ? await index.byName(this.name)
        : await index.find("podsandbox", record.id);
    if (entry !== undefined && (record === undefined || record.phase === "ready")) {
      const reused = await runsAlready(this.#deps, entry, record, wanted.hash);
      if (reused !== undefined) return { id: reused, reused: true };
    }
    // Partially created by a call that failed or a process that was killed, dead since, or a left-over.
    if (record !== undefined) await this.#makeRoom(record);
    else if (entry?.kind === "podsandbox") {
      await removeLeftOver(this.#deps, this, { ids: [entry.id], record, entry });
    }
    return { id: await this.#run(wanted, caller), reused: false };
  }

  async #run(wanted: WantedSandbox, caller: Caller): Promise<SandboxId> {
    const controller = new AbortController();
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const { signal } = controller;
    try {
      return await setUp(this.#deps, this, wanted, {
        ...caller,
        interrupted: signal,
        begin: () => (this.#setUp = { controller, ended }),
        undo: async () => {
          if (this.record !== undefined) await this.#makeRoom(this.record);
        },
      });
    } catch (error) {
      // What an interrupted plugin or request says of its end is not the cause.
      throw signal.aborted ? (signal.reason as Error) : error;
    } finally {
      this.#setUp = undefined;
      end();
    }
  }

  /** Takes down whatever there is under the record, so that the name is free or the failure undone. */
  async #makeRoom(record: SandboxRecord): Promise<void> {
    const ids = await idsOfRecord(this.#deps, record);
    await takeDown(this.#deps, this, { ids, record, entry: undefined }, makingRoom);
  }

  async #bringDown(
    phase: "stopped" | "gone",
    { id, record: known }: FoundSandbox,
    { signal, giveUp = false }: EndCaller,
  ): Promise<void> {
    // A CNI ADD of minutes is not waited for: it is ended, and DEL runs after it. A left-over of the same
    // name is none of its business.
    if (known !== undefined) {
      const what = phase === "stopped" ? "stop" : "remove";
      this.#setUp?.controller.abort(new CriError("Cancelled", `${what} of the sandbox`));
    }
    this.claim();
    await this.#locked(async () => {
      const found = await lookUpSandbox(this.#deps, id);
      if (found === undefined) return;
      const { entry, record } = found;
      if (record !== undefined) {
        // Once more: the set-up that had the lock may have finished, for nobody.
        this.claim();
        await this.#noteId(id);
      }
      await takeDown(this.#deps, this, { ids: [id], entry, record }, asAsked(phase, giveUp));
    }, signal);
  }

  async setUpEnded(): Promise<void> {
    await this.#setUp?.ended;
  }

  /** UpdatePodSandboxResources. */
  async keepResources(
    id: SandboxId,
    resources: NonNullable<SandboxRecord["updatedResources"]>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#locked(async () => {
      const { record } = this;
      // A pod taken over has none. The limits are the kubelet's own work; only `crictl inspectp` shows less.
      if (record?.id !== id) return;
      const updatedResources = { ...record.updatedResources, ...resources };
      await this.enter(record.phase, { updatedResources });
    }, signal);
  }

  /** Of a record that nobody works on: what is half-done is brought to an end (Sandboxes.settle). */
  async settle(): Promise<void> {
    // A call under way settles its own record, and may hold the lock for minutes.
    if (this.#calls > 0 || !isHalfDone(this.record)) return;
    await this.#locked(async () => {
      const { record } = this;
      if (record === undefined || !isHalfDone(record)) return;
      const ids = await idsOfRecord(this.#deps, record);
      const [id] = ids;
      if (id === undefined) {
        await this.forget();
        return;
      }
      await this.#noteId(id);
      const remains = { ids, record: this.record, entry: undefined };
      await takeDown(this.#deps, this, remains, settling);
    });
  }

  /** What Docker made for a process that was killed before it heard of the id. */
  async #noteId(id: SandboxId): Promise<void> {
    const { record } = this;
    if (record === undefined || record.id !== undefined) return;
    await this.enterAnyway(record.phase === "creating" ? "created" : record.phase, { id });
  }

  /**
   * The one writer of the record.
   *
   * @throws what the disk says; the record in memory is then as it was
   */
  async enter(phase: SandboxPhase, change: SandboxChange): Promise<SandboxRecord> {
    const record = this.#changed(phase, change);
    await this.#deps.records.save(record);
    if (record.id !== undefined) this.#deps.index.touchedRecord(record.id);
    return record;
  }

  /** The same on the way down, which a full or broken disk must not stop; seen by others at once. */
  async enterAnyway(phase: SandboxPhase, change: SandboxChange = {}): Promise<SandboxRecord> {
    const record = this.#changed(phase, change);
    const written = this.#deps.records.saveIfPossible(record);
    if (record.id !== undefined) this.#deps.index.touchedRecord(record.id);
    await written;
    return record;
  }

  /** The first record of a set-up. */
  async begin(record: SandboxRecord): Promise<void> {
    requireTransition(phaseOf(this.record), "creating");
    await this.#deps.records.save(record);
  }

  async forget(): Promise<void> {
    const { record } = this;
    if (record === undefined) return;
    requireTransition(phaseOf(record), "gone");
    if (record.ownNetns !== undefined) await this.#deps.ownNetns.remove(record.ownNetns);
    await this.#deps.records.delete(record);
    if (record.id !== undefined) this.#deps.index.touchedRecord(record.id);
  }

  #changed(phase: SandboxPhase, change: SandboxChange): SandboxRecord {
    const { record } = this;
    if (record === undefined) throw new TypeError(`pod sandbox ${this.name} has no record`);
    requireTransition(phaseOf(record), phaseOf({ phase }));
    const changed = { ...record, ...change, phase };
    for (const key of ["network", "delFailure", "ownNetns"] as const) {
      if (changed[key] === undefined) delete changed[key];
    }
    return changed as SandboxRecord;
  }

  /** Somebody uses it, or was shown it as READY. True when its result was nobody's until now. */
  claim(): boolean {
    return this.#unclaimed.claim();
  }

  #discardUnused(id: SandboxId): void {
    const { index, log } = this.#deps;
    this.#locked(async () => {
      const { record } = this;
      // A retry or a list may have been quicker.
      if (!this.claim() || record?.id !== id || record.phase !== "ready") return;
      if (index.peekMembers(id).length > 0) return;
      log.info({ podId: id, sandbox: this.name }, "nobody asked again for a sandbox: removing it");
      await takeDown(this.#deps, this, { ids: [id], record, entry: undefined }, makingRoom);
    }).catch((err: unknown) => {
      log.warn({ err, sandbox: this.name }, "removing an abandoned sandbox failed");
    });
  }

  async #locked<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#calls += 1;
    try {
      return await this.#deps.locks.run(`sandbox:${this.name}`, work, signal);
    } finally {
      this.#calls -= 1;
    }
  }
}
