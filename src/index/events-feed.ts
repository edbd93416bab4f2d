import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { outsideCall } from "../sys/call-trace.ts";
import { RecentMap } from "../sys/recent-map.ts";
import type { Change, ContainerEntry, ContainerIndex } from "./container-index.ts";

/** What one ContainerEventResponse is made of. */
export interface FeedItem extends Change {
  /** Full id of the pod sandbox that it is about. */
  podSandboxId: string;
  /** The sandbox, for one that is gone as it was last known; undefined if it was never known. */
  sandbox: ContainerEntry | undefined;
  /** The sandbox's containers that exist. */
  members: readonly ContainerEntry[];
}

export interface EventsFeedDeps {
  index: ContainerIndex;
  log: Logger;
  /** Resolves when no RunPodSandbox works on this sandbox (Docker's name) any more. */
  setUp?: (name: string) => Promise<void>;
  /** Items that a subscriber may be behind before it is cut off (1000). */
  queueLimit?: number;
}

/** Removed sandboxes that events of their containers may still be about. */
const TOMBSTONES = 1024;

/**
 * GetContainerEvents for any number of subscribers. Within one pod the order is that of the
 * changes; a pod whose inspect hangs delays no other.
 */
export class EventsFeed {
  readonly #index: ContainerIndex;
  readonly #log: Logger;
  readonly #queueLimit: number;
  readonly #setUp: (name: string) => Promise<void>;
  readonly #subscribers = new Set<Subscriber>();
  readonly #tombstones = new RecentMap<ContainerEntry>(TOMBSTONES);
  readonly #pods = new Map<string, Promise<void>>();
  readonly #unsubscribe: () => void;
  constructor(deps: EventsFeedDeps) {
    this.#index = deps.index;
    this.#log = deps.log;
    this.#queueLimit = deps.queueLimit ?? 1000;
    this.#setUp = deps.setUp ?? (() => Promise.resolve());
    this.#unsubscribe = deps.index.onChange((change) => {
      this.#onChange(change);
    });
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  /**
   * Items from now on, until the signal aborts. Throws CriError ResourceExhausted when the reader
   * falls too far behind (the kubelet subscribes again and relists).
   */
  async *follow(signal: AbortSignal): AsyncGenerator<FeedItem> {
    const subscriber = new Subscriber(this.#queueLimit);
    const onAbort = (): void => {
      subscriber.end();
    };
    this.#subscribers.add(subscriber);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (!signal.aborted) {
        const item = await subscriber.next();
        if (item === undefined) return;
        yield item;
      }
    } finally {
      this.#subscribers.delete(subscriber);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Ends every subscription. */
  close(): void {
    this.#unsubscribe();
    for (const subscriber of this.#subscribers) subscriber.end();
  }

  #onChange(change: Change): void {
    const { entry, kind } = change;
    const { identity } = entry;
    if (kind === "deleted" && identity.kind === "podsandbox") {
      this.#tombstones.set(entry.id, entry);
    }
    if (this.#subscribers.size === 0) return;
    const podSandboxId = identity.kind === "podsandbox" ? entry.id : identity.podSandboxId;
    const before = this.#pods.get(podSandboxId) ?? Promise.resolve();
    const done = before
      .then(() => outsideCall(() => this.#publish(change, podSandboxId)))
      .catch((error: unknown) => {
        this.#log.error({ error: errorText(error) }, "a container event was lost");
      })
      .finally(() => {
        if (this.#pods.get(podSandboxId) === done) this.#pods.delete(podSandboxId);
      });
    this.#pods.set(podSandboxId, done);
  }

  async #publish(change: Change, podSandboxId: string): Promise<void> {
    let { entry } = change;
    // A pause container that runs is no started sandbox before its network is there: told earlier, the
    // kubelet would see a sandbox that is not ready and make another one.
    if (change.kind === "started" && entry.kind === "podsandbox") await this.#setUp(entry.name);
    if (change.kind !== "deleted") entry = (await this.#inspected(entry)) ?? entry;
    const sandbox =
      this.#index.peek(podSandboxId) ??
      this.#tombstones.get(podSandboxId) ??
      (entry.kind === "podsandbox" ? entry : undefined);
    const members = this.#index.peekMembers(podSandboxId);
    const item: FeedItem = { ...change, entry, podSandboxId, sandbox, members };
    for (const subscriber of this.#subscribers) subscriber.push(item);
  }

  /** With exit code and times, which an event alone does not tell. */
  async #inspected({ id, kind }: ContainerEntry): Promise<ContainerEntry | undefined> {
    try {
      return await this.#index.find(kind, id);
    } catch {
      // The engine is away; what the change itself says is all there is.
      return undefined;
    }
  }
}

class Subscriber {
  readonly #queue: FeedItem[] = [];
  readonly #limit: number;
  #wake: () => void = () => undefined;
  #ended = false;
  #overrun = false;
  constructor(limit: number) {
    this.#limit = limit;
  }

  push(item: FeedItem): void {
    if (this.#overrun) return;
    if (this.#queue.length >= this.#limit) {
      this.#overrun = true;
      this.#queue.length = 0;
    } else this.#queue.push(item);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async next(): Promise<FeedItem | undefined> {
    for (;;) {
      if (this.#ended) return undefined;
      if (this.#overrun) {
        throw new CriError("ResourceExhausted", "container events: the reader is too slow");
      }
      const item = this.#queue.shift();
      if (item !== undefined) return item;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
