import type { ContainerCreate, ContainerInspect, EngineEvent } from "../engine/types.ts";
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
import { ImageTable } from "./image-table.ts";
import { Inspector } from "./inspector.ts";
import { Listeners } from "./listeners.ts";
import { ReadPath } from "./read-path.ts";
import { outsideCall } from "../sys/call-trace.ts";
import { Sleeper } from "./sleeper.ts";
import { Tick } from "./tick.ts";

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
  /** To be inspected once although nothing says that they changed. */
  readonly #lookOnce = new Set<string>();
  readonly #reads: ReadPath;
  #running: Promise<void> | undefined;

  constructor(deps: IndexDeps) {
    const { engine, clock, log } = deps;
    const { signal } = this.#closing;
    this.#deps = deps;
    const refreshMs = deps.refreshMs ?? 300_000;
    const statusBudgetMs = deps.statusBudgetMs ?? 3_000;
    this.#tick = new Tick(clock);
    this.#sleeper = new Sleeper(clock);
    this.#changes = new Listeners(log);
    this.#events = new Listeners(log);
    const shared = { engine, clock, log, signal, tick: this.#tick, sleeper: this.#sleeper };
    this.images = new ImageTable({
      ...shared,
      source: () => this.#reads.source(),
      followed: () => this.#follower.live,
      aliases: deps.imageAliases ?? (() => []),
    });
    this.#table = new ContainerTable(this.#tick, {
      onDirty: (id, born) => {
        if (born) this.#inspector.want(id, BORN_DELAY_MS);
        else this.#inspector.want(id);
      },
      onUnknown: (id, born) => {
        // The engine tells of a create before it answers the request, on another connection.
        this.#look(id, born ? BORN_DELAY_MS : undefined);
      },
      onChange: (change) => {
        this.#changes.tell(change);
      },
      imageLabels: (imageId) => this.images.labelsInMemory(imageId),
      oomKilled: (id) => deps.oomKilled?.(id) === true,
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
      budgetMs: statusBudgetMs,
      delayMs: deps.inspectDelayMs ?? 10,
      engineReady: () => this.#follower.reachable !== false,
      onFlight: (id, mark) => {
        // One try is enough for an object that may not be ours; a list would show it, too.
        if (mark === undefined) this.#lookOnce.delete(id);
        this.#table.inFlight(id, mark);
      },
      onAnswer: async (inspect, mark) => {
        this.#follower.contact();
        await this.#lister.imageLabels(inspect.Name, inspect.Config.Labels ?? {}, inspect.Image);
        this.#table.applyInspect(inspect, mark);
      },
      onGone: (id) => {
        this.#table.remove(id, clock.nowNs());
      },
      wanted: (id) => this.#table.dirtyIds.has(id) || this.#lookOnce.has(id),
    });
    this.#follower = new EngineFollower({
      ...shared,
      pingMs: deps.pingMs ?? 5_000,
      pingTimeoutMs: deps.pingTimeoutMs ?? 2_000,
      reconcileMs: deps.reconcileMs ?? 7_500,
      onEvent: (event) => {
        this.#onEvent(event);
      },
      resync: async (gapAt) => {
        this.images.touched();
        await this.#lister.list(this.#tick.next());
        const at = await gapAt();
        if (at !== undefined) this.#table.gap(at);
      },
      reconcile: async () => {
        // What no list shows (limits changed by another client, the event lost) heals by and by.
        const oldest = this.#table.oldestInspected(clock.monotonicMs() - refreshMs);
        if (oldest !== undefined) this.#look(oldest);
        return await this.#lister.list(this.#tick.next());
      },
      onReturn: () => {
        this.#inspector.retryNow();
      },
    });
    this.#reads = new ReadPath({
      table: this.#table,
      inspector: this.#inspector,
      lister: this.#lister,
      follower: this.#follower,
      sleeper: this.#sleeper,
      tick: this.#tick,
      graceMs: deps.awayGraceMs ?? 30_000,
      statusBudgetMs,
      listBudgetMs: deps.listBudgetMs ?? 250,
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
      ageMs: Math.round(this.#deps.clock.monotonicMs() - lastContactMs),
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
    return this.#reads.list("podsandbox");
  }

  containers(): Promise<readonly ContainerEntry[]> {
    return this.#reads.list("container");
  }

  async membersOf(podSandboxId: string): Promise<readonly ContainerEntry[]> {
    await this.#reads.settleAll("container", isMemberOf(podSandboxId));
    return this.#table.members(podSandboxId);
  }

  async byName(name: string): Promise<ContainerEntry | undefined> {
    await this.#reads.current();
    const found = this.#table.byName(name);
    return found === undefined ? undefined : this.#reads.settled(found, {});
  }

  async find(
    kind: ObjectKind,
    idOrPrefix: string,
    options: FindOptions = {},
  ): Promise<ContainerEntry | undefined> {
    const inStep = await this.#reads.current();
    const entry = this.#reads.lookUp(kind, idOrPrefix);
    if (entry === undefined) return undefined;
    return this.#reads.settled(entry, inStep ? options : { ...options, fresh: true });
  }

  peek(id: string): ContainerEntry | undefined {
    return this.#table.get(id);
  }

  peekMembers(podSandboxId: string): readonly ContainerEntry[] {
    return this.#table.members(podSandboxId);
  }

  contact(): void {
    if (this.#closing.signal.aborted) return;
    // What an engine that is back is asked for is not the work of whoever was answered first.
    outsideCall(() => {
      this.#follower.contact();
    });
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
    else if (event.Type === "container" && event.Action !== "exec_die")
      this.#table.applyEvent(event);
    this.#events.tell(event);
  }

  #look(id: string, delayMs?: number): void {
    this.#lookOnce.add(id);
    this.#inspector.want(id, delayMs);
  }

  #lookAtImagesLater(): void {
    this.#sleeper.after(this.#deps.imageReconcileMs ?? 60_000, () => {
      if (this.#follower.live) this.images.touched();
      this.#lookAtImagesLater();
    });
  }
}

function isMemberOf(podSandboxId: string): (entry: ContainerEntry) => boolean {
  return ({ identity }) => identity.kind === "container" && identity.podSandboxId === podSandboxId;
}
