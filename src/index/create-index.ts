import type { ContainerCreate, ContainerInspect, EngineEvent } from "../engine/types.ts";
import { CriError, errorText, invalidArgument } from "../errors.ts";
import type {
  Change,
  ContainerEntry,
  ContainerIndex,
  FindOptions,
  IndexCounters,
  IndexDeps,
  IndexHealth,
  Mark,
  ObjectKind,
} from "./container-index.ts";
import { ContainerLister } from "./container-lister.ts";
import { ContainerTable } from "./container-table.ts";
import { EngineFollower } from "./engine-follower.ts";
import { ImageTable, type ReadSource } from "./image-table.ts";
import { Inspector } from "./inspector.ts";
import { Listeners } from "./listeners.ts";
import { Sleeper } from "./sleeper.ts";
import { Tick } from "./tick.ts";

/** A read that must ask the engine for a list gives up after this. */
const READ_LIST_MS = 5_000;

/**
 * A start follows most creates at once, and an inspect meanwhile would only wait for the engine's
 * lock on the container. Reads that want the facts earlier do not wait for this.
 */
const BORN_DELAY_MS = 400;

/** Builds the index; nothing is asked of the engine before `start` or the first read. */
export function createContainerIndex(deps: IndexDeps): ContainerIndex {
  return new LiveIndex(deps);
}

class LiveIndex implements ContainerIndex {
  readonly images: ImageTable;
  readonly #deps: IndexDeps;
  readonly #tick: Tick;
  readonly #sleeper: Sleeper;
  readonly #closing = new AbortController();
  readonly #table: ContainerTable;
  readonly #inspector: Inspector;
  readonly #lister: ContainerLister;
  readonly #follower: EngineFollower;
  readonly #changes: Listeners<Change>;
  readonly #events: Listeners<EngineEvent>;
  /** Spoken of by events, not in the table, to be looked at once. */
  readonly #unknown = new Set<string>();
  readonly #graceMs: number;
  readonly #statusBudgetMs: number;
  readonly #listBudgetMs: number;
  #running: Promise<void> | undefined;

  constructor(deps: IndexDeps) {
    const { engine, clock, log } = deps;
    const { signal } = this.#closing;
    this.#deps = deps;
    this.#graceMs = deps.awayGraceMs ?? 30_000;
    this.#statusBudgetMs = deps.statusBudgetMs ?? 3_000;
    this.#listBudgetMs = deps.listBudgetMs ?? 250;
    this.#tick = new Tick(clock);
    this.#sleeper = new Sleeper(clock);
    this.#changes = new Listeners(log);
    this.#events = new Listeners(log);
    const shared = { engine, clock, log, signal, tick: this.#tick, sleeper: this.#sleeper };
    this.images = new ImageTable({ ...shared, source: () => this.#source() });
    this.#table = new ContainerTable(this.#tick, {
      onDirty: (id, born) => {
        if (born) this.#inspector.want(id, BORN_DELAY_MS);
        else this.#inspector.want(id);
      },
      onUnknown: (id) => {
        this.#unknown.add(id);
        this.#inspector.want(id);
      },
      onChange: (change) => {
        this.#changes.tell(change);
      },
      imageLabels: (imageId) => this.images.labelsInMemory(imageId),
    });
    this.#lister = new ContainerLister({
      ...shared,
      table: this.#table,
      images: this.images,
      onContact: () => {
        this.#follower.contact();
      },
    });
    this.#inspector = new Inspector({
      ...shared,
      limit: deps.inspectLimit ?? 16,
      budgetMs: this.#statusBudgetMs,
      delayMs: deps.inspectDelayMs ?? 10,
      engineReady: () => this.#follower.reachable !== false,
      onFlight: (id, mark) => {
        // One try is enough for an object that may not be ours; a list would show it, too.
        if (mark === undefined) this.#unknown.delete(id);
        this.#table.inFlight(id, mark);
      },
      onAnswer: async (inspect, mark) => {
        await this.#lister.imageLabels(inspect.Name, inspect.Config.Labels ?? {}, inspect.Image);
        this.#table.applyInspect(inspect, mark);
      },
      onGone: (id) => {
        this.#table.remove(id, clock.nowNs());
      },
      wanted: (id) => this.#table.dirtyIds.has(id) || this.#unknown.has(id),
    });
    this.#follower = new EngineFollower({
      ...shared,
      pingMs: deps.pingMs ?? 5_000,
      pingTimeoutMs: deps.pingTimeoutMs ?? 3_000,
      reconcileMs: deps.reconcileMs ?? 7_500,
      onEvent: (event) => {
        this.#onEvent(event);
      },
      resync: async () => {
        // What happened in the gap is only seen by inspects that begin now.
        this.#table.touchAll();
        this.images.touched();
        await this.#lister.list(this.#tick.next());
      },
      reconcile: () => this.#lister.list(this.#tick.next()),
      onReturn: () => {
        this.#inspector.retryNow();
      },
    });
  }

  start(): void {
    if (this.#running !== undefined || this.#closing.signal.aborted) return;
    this.#running = this.#follower.run();
    this.#lookAtImagesLater();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#sleeper.close();
    this.#inspector.close();
    this.#changes.clear();
    this.#events.clear();
    await this.#running;
  }

  get health(): IndexHealth {
    const { reachable, reason, live, lastContactMs } = this.#follower;
    return {
      engineReady: reachable === true,
      reason,
      synced: live,
      lastContactMs,
      ageMs: this.#deps.clock.monotonicMs() - lastContactMs,
    };
  }

  get counters(): IndexCounters {
    return {
      events: this.#follower.events,
      inspects: this.#inspector.started,
      lists: this.#lister.started,
      repairs: this.#lister.repairs,
      resyncs: this.#follower.resyncs,
      inspectsInFlight: this.#inspector.inFlight,
      inspectsStuck: this.#inspector.stuck,
      containers: this.#table.size,
    };
  }

  sandboxes(): Promise<readonly ContainerEntry[]> {
    return this.#list("podsandbox");
  }

  containers(): Promise<readonly ContainerEntry[]> {
    return this.#list("container");
  }

  async membersOf(podSandboxId: string): Promise<readonly ContainerEntry[]> {
    const isMember = isMemberOf(podSandboxId);
    return (await this.#list("container", isMember)).filter(isMember);
  }

  async byName(name: string): Promise<ContainerEntry | undefined> {
    await this.#current();
    const found = this.#table.byName(name);
    return found === undefined ? undefined : this.#settled(found, {});
  }

  async find(
    kind: ObjectKind,
    idOrPrefix: string,
    options: FindOptions = {},
  ): Promise<ContainerEntry | undefined> {
    const inStep = await this.#current();
    const entry = this.#lookUp(kind, idOrPrefix);
    if (entry === undefined) return undefined;
    return this.#settled(entry, inStep ? options : { ...options, fresh: true });
  }

  peek(id: string): ContainerEntry | undefined {
    return this.#table.get(id);
  }

  peekMembers(podSandboxId: string): readonly ContainerEntry[] {
    return this.#table.list("container").filter(isMemberOf(podSandboxId));
  }

  mark(): Mark {
    return this.#tick.mark();
  }

  created(id: string, name: string, create: ContainerCreate): void {
    this.#follower.contact();
    this.#table.created(id, name, create);
  }

  observed(inspect: ContainerInspect, since: Mark): void {
    this.#follower.contact();
    this.#table.applyInspect(inspect, since);
  }

  touched(id: string, now?: "running" | "exited"): void {
    if (now !== undefined) this.#follower.contact();
    this.#table.touched(id, now);
  }

  removed(id: string): void {
    this.#follower.contact();
    this.#table.remove(id, this.#deps.clock.nowNs());
  }

  touchedRecord(id: string): void {
    this.#table.touchedRecord(id);
  }

  onChange(listener: (change: Change) => void): () => void {
    return this.#changes.add(listener);
  }

  onEvent(listener: (event: EngineEvent) => void): () => void {
    return this.#events.add(listener);
  }

  #onEvent(event: EngineEvent): void {
    if (event.Type === "image") this.images.applyEvent(event.Actor.ID);
    else if (event.Action !== "exec_die") this.#table.applyEvent(event);
    this.#events.tell(event);
  }

  #lookAtImagesLater(): void {
    this.#sleeper.after(this.#deps.imageReconcileMs ?? 60_000, () => {
      if (this.#follower.live) this.images.touched();
      this.#lookAtImagesLater();
    });
  }

  async #list(
    kind: ObjectKind,
    only?: (entry: ContainerEntry) => boolean,
  ): Promise<readonly ContainerEntry[]> {
    await this.#current();
    const budgetMs = this.#listBudgetMs;
    const waits: Promise<void>[] = [];
    if (this.#follower.reachable !== false) {
      for (const id of this.#table.dirtyIds) {
        const entry = this.#table.get(id);
        if (entry?.kind !== kind || only?.(entry) === false) continue;
        // One that was waited for already is late or hung: it must not delay every list.
        if (this.#inspector.waitingMs(id) >= budgetMs) continue;
        waits.push(this.#inspector.settle(id, this.#table.changedAt(id), budgetMs));
      }
    }
    if (waits.length > 0) await Promise.all(waits);
    return this.#table.list(kind);
  }

  async #settled(
    entry: ContainerEntry,
    { fresh = false, asKnown = false, signal }: FindOptions,
  ): Promise<ContainerEntry | undefined> {
    const { id } = entry;
    if (asKnown || (!entry.dirty && !fresh) || this.#follower.reachable === false) return entry;
    const since = fresh ? this.#tick.next() : this.#table.changedAt(id);
    const budgetMs = this.#statusBudgetMs;
    // The budget belongs to the request: who comes later does not wait for it all over again.
    const leftMs = fresh ? budgetMs : budgetMs - this.#inspector.flyingMs(id);
    if (leftMs > 0) {
      const settled = this.#inspector.settle(id, since, leftMs);
      await (signal === undefined ? settled : untilAborted(settled, signal));
    }
    return this.#table.get(id);
  }

  #lookUp(kind: ObjectKind, idOrPrefix: string): ContainerEntry | undefined {
    const exact = this.#table.get(idOrPrefix);
    if (exact !== undefined) return exact.kind === kind ? exact : undefined;
    if (idOrPrefix === "") return undefined;
    const found = this.#table.list(kind).filter((entry) => entry.id.startsWith(idOrPrefix));
    if (found.length > 1) throw invalidArgument(`${kind} id "${idOrPrefix}": ambiguous prefix`);
    return found[0];
  }

  #source(): ReadSource {
    if (this.#follower.live) return "followed";
    if (this.#follower.reachable !== false) return "engine";
    if (this.#follower.staleMs <= this.#graceMs) return "memory";
    throw new CriError("Unavailable", `docker engine: ${this.#follower.reason}`);
  }

  /** True when memory is in step; otherwise a list was asked for, or the grace time holds. */
  async #current(): Promise<boolean> {
    const source = this.#source();
    if (source === "followed") return true;
    if (source === "memory") return false;
    try {
      const outcome = await this.#sleeper.within(this.#lister.list(0), READ_LIST_MS);
      if (outcome !== "late") return false;
    } catch (error) {
      if (this.#follower.staleMs > this.#graceMs) {
        throw new CriError("Unavailable", `docker engine: ${errorText(error)}`, { cause: error });
      }
      return false;
    }
    if (this.#follower.staleMs <= this.#graceMs) return false;
    throw new CriError("Unavailable", "docker engine: its list takes too long");
  }
}

function isMemberOf(podSandboxId: string): (entry: ContainerEntry) => boolean {
  return ({ identity }) => identity.kind === "container" && identity.podSandboxId === podSandboxId;
}

/** Waits until `work` is done or the signal aborts, whichever is first. */
function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", done, { once: true });
    void work.then(done);
  });
}
