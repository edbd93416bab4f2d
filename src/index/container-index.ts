/*
 * src/index: all pods, containers and images in memory, which answer lists and statuses without a
 * request to Docker.
 * Not here: writes to Docker, and facts that Docker cannot give back after a restart (src/state has
 * those).
 */
import type {
  ContainerCreate,
  ContainerInspect,
  ContainerState,
  EngineEvent,
} from "../engine/types.ts";
import type { Engine } from "../engine/engine.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import type { InspectFacts } from "../convert/inspect-facts.ts";
import type { CriIdentity } from "../convert/labels.ts";
import type { ImageIndex } from "./image-index.ts";

export type ObjectKind = "podsandbox" | "container";

/**
 * What is known of one of our containers at one moment. Never changed, only replaced: two reads that
 * give the same entry object saw the same facts, so anything derived from it may be cached by it.
 */
export interface ContainerEntry {
  /** Full 64 digit id. */
  readonly id: string;
  /** Docker's name, without the leading slash. */
  readonly name: string;
  readonly kind: ObjectKind;
  readonly identity: CriIdentity;
  /** "sha256:…"; for an object not inspected yet, what the create asked for. */
  readonly imageId: string;
  /** What the container was created from, as its creator wrote it. */
  readonly image: string;
  /** Seconds precision until the first inspect, nanoseconds from then on. */
  readonly createdAtNs: bigint;
  /**
   * Best known state: the last inspect's, brought forward by events and lists that are newer.
   * `OOMKilled` holds the evidence of `oom` events as well. Never inspected: what the list said, with
   * ExitCode 0 and "never" times where the list cannot say.
   */
  readonly state: ContainerState;
  /** What is kept of the last inspect, with `state` laid over its State; undefined until the first one. */
  readonly inspect: InspectFacts | undefined;
  /** Grows with each replacement. */
  readonly revision: number;
  /** True while something may have changed after the last inspect began. */
  readonly dirty: boolean;
}

/** The moment before a request to the engine: its answer is compared with what was heard meanwhile. */
export interface Mark {
  /** Place in the index's own order of marks and changes. */
  readonly order: number;
  /** Wall clock, to be compared with the engine's event times. */
  readonly wallNs: bigint;
  /** Tells whether the wall clock was set since. */
  readonly monotonicMs: number;
}

export interface FindOptions {
  /** Wants an inspect that began after this call, dirty or not. */
  fresh?: boolean;
  /** Wants who it is, not how it is: never waits for an inspect. */
  asKnown?: boolean;
  signal?: AbortSignal | undefined;
}

export type ChangeKind = "created" | "started" | "stopped" | "deleted";

/** One step in the life of a container or sandbox; each is reported once, in this order. */
export interface Change {
  kind: ChangeKind;
  /** As known right after the change; for "deleted", as it was last known. */
  entry: ContainerEntry;
  /** When it happened as far as the engine said, else when it was noticed. */
  atNs: bigint;
}

export interface IndexHealth {
  /** The engine answers. False within 10 s of a dead or frozen engine, true within 10 s of its return. */
  engineReady: boolean;
  /** Why not, for a condition's message; "" when ready. */
  reason: string;
  /** The event stream is up and a list has been applied since it came up. */
  synced: boolean;
  /** Whole milliseconds since the engine's last answer. */
  ageMs: number;
}

/** Counters for metrics; all grow from 0 except the gauges. */
export interface IndexCounters {
  events: number;
  inspects: number;
  lists: number;
  /** Reconciles that found something that no event had reported. */
  repairs: number;
  resyncs: number;
  /** Gauges: inspects under way, and those among them past their budget. */
  inspectsInFlight: number;
  inspectsStuck: number;
  containers: number;
}

export interface IndexDeps {
  engine: Engine;
  clock: Clock;
  log: Logger;
  /** Other names of an image, for one that the engine does not have by the asked one. */
  imageAliases?: (reference: string) => string[];
  /** Evidence besides the engine's that a container was hit by the out-of-memory killer. */
  oomKilled?: (id: string) => boolean;
  /** Milliseconds between reconcile lists of containers (7500). */
  reconcileMs?: number;
  /** Milliseconds between reconcile lists of images (60 000). */
  imageReconcileMs?: number;
  /** Age from which one inspect is renewed at each reconcile, the oldest first (300 000). */
  refreshMs?: number;
  /** Milliseconds of silence before a ping (5000), and how long each of two may take (2000). */
  pingMs?: number;
  pingTimeoutMs?: number;
  /** How long reads are served from memory after the engine went away (30 000). */
  awayGraceMs?: number;
  /** How long a status waits for an inspect (3000), and a list (250). */
  statusBudgetMs?: number;
  listBudgetMs?: number;
  /** Inspects under way at once, those past their budget not counted (16). */
  inspectLimit?: number;
  /** Lets the events of an own write arrive before the inspect begins (10). */
  inspectDelayMs?: number;
}

export interface ContainerIndex {
  /** Begins to follow the engine; never throws, keeps trying until `close`. */
  start(): void;
  /** Ends every timer, request and stream. */
  close(): Promise<void>;
  readonly health: IndexHealth;
  readonly counters: IndexCounters;
  readonly images: ImageIndex;

  /**
   * Everything of that kind, in no particular order. Waits a short while (250 ms) for inspects of
   * changed objects, never for one that hangs. CriError Unavailable when the engine is away
   * for longer than the grace time, or before the first list.
   */
  sandboxes(): Promise<readonly ContainerEntry[]>;
  containers(): Promise<readonly ContainerEntry[]>;
  /**
   * One object by its id or a unique prefix of it; undefined when there is none. A changed object is
   * inspected first, for at most 3 s; then the last known facts are given.
   * CriError InvalidArgument for an ambiguous prefix, Unavailable as above.
   */
  find(
    kind: ObjectKind,
    idOrPrefix: string,
    options?: FindOptions,
  ): Promise<ContainerEntry | undefined>;
  /** Containers of one sandbox (full id), whatever their state. */
  membersOf(podSandboxId: string): Promise<readonly ContainerEntry[]>;
  /** By Docker's name. */
  byName(name: string): Promise<ContainerEntry | undefined>;
  /** What is in memory right now, whatever its age: for metrics, logs and tombstones. */
  peek(id: string): ContainerEntry | undefined;
  /** As peek, the containers of one sandbox. */
  peekMembers(podSandboxId: string): readonly ContainerEntry[];

  /** The engine has answered a request of somebody's: it is there. */
  contact(): void;
  /** Taken before an engine request whose answer goes to `observed`. */
  mark(): Mark;
  /** An own create succeeded. */
  created(id: string, name: string, create: ContainerCreate): void;
  /** The answer of an own inspect that began after `since` was taken. */
  observed(inspect: ContainerInspect, since: Mark): void;
  /**
   * An own write changed it (start, stop, kill, update), or may have. `now` is what the engine's
   * answer says of it, shown until an inspect tells the rest.
   */
  touched(id: string, now?: "running" | "exited"): void;
  /** An own remove succeeded, or the engine answered that there is no such container. */
  removed(id: string): void;
  /** Something kept beside the engine (a sandbox record) changed: a new entry, no request. */
  touchedRecord(id: string): void;

  /** Returns the function that unsubscribes. A listener that throws is logged and kept. */
  onChange(listener: (change: Change) => void): () => void;
  /** Every event that passes the engine's filter, as it comes: a hint. exec_die is among them. */
  onEvent(listener: (event: EngineEvent) => void): () => void;
}
