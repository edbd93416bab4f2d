import type { EventOptions } from "../../src/engine/engine.ts";
import type { EngineEvent } from "../../src/engine/types.ts";
import { lost } from "./fake-errors.ts";

/** As many as Docker Engine remembers. */
const REMEMBERED = 256;

/** What becomes of one event on its way to the listeners. */
export type EventFate = "deliver" | "drop" | "duplicate" | "hold";

interface Listener {
  filters: Record<string, string[]>;
  queue: EngineEvent[];
  wake: () => void;
  broken: boolean;
}

/** The engine's event stream: several listeners, lossy on demand. */
export class FakeEvents {
  /** Decides on each event; default: all are delivered. */
  fate: (event: EngineEvent) => EventFate = () => "deliver";
  /** What happens between the answer to a subscription and the moment from which events come. */
  beforeListening: (() => Promise<void>) | undefined;
  readonly #listeners = new Set<Listener>();
  readonly #held: EngineEvent[] = [];
  /** What the engine remembers for those who ask with `sinceNs`; an engine that restarts forgets it. */
  readonly #remembered: EngineEvent[] = [];

  get listeners(): number {
    return this.#listeners.size;
  }

  forget(): void {
    this.#remembered.length = 0;
  }

  emit(event: EngineEvent): void {
    const fate = this.fate(event);
    // An event that is lost for good stands for one that the engine never told anybody.
    if (fate !== "drop") this.#remembered.push(event);
    if (this.#remembered.length > REMEMBERED) this.#remembered.shift();
    if (fate === "hold") this.#held.push(event);
    if (fate === "drop" || fate === "hold") return;
    this.#deliver(event);
    if (fate === "duplicate") this.#deliver(event);
  }

  /** Delivers the events held back, late and in reverse: their order is no promise. */
  release(): void {
    for (const event of this.#held.splice(0).reverse()) this.#deliver(event);
  }

  /** Ends every stream as a dying engine does. */
  cut(): void {
    // Docker tells in order: who has heard of what came later has heard of these. Where a test held them
    // back, they are lost for good, as from an engine that remembers no further.
    if (this.#held.length > 0) this.forget();
    this.#held.length = 0;
    for (const listener of this.#listeners) {
      listener.broken = true;
      listener.wake();
    }
  }

  async *follow(
    filters: Record<string, string[]>,
    { signal, onSubscribed, sinceNs }: EventOptions,
  ): AsyncGenerator<EngineEvent> {
    // As with Docker, the answer comes before the engine listens to itself.
    onSubscribed();
    if (this.beforeListening !== undefined) await this.beforeListening();
    const queue = this.#remembered.filter(
      (event) => sinceNs !== undefined && event.timeNano >= sinceNs && passes(event, filters),
    );
    const listener: Listener = { filters, queue, wake: () => undefined, broken: false };
    const onAbort = (): void => listener.wake();
    signal.addEventListener("abort", onAbort);
    this.#listeners.add(listener);
    try {
      while (!signal.aborted) {
        const event = listener.queue.shift();
        if (event !== undefined) {
          yield event;
          continue;
        }
        if (listener.broken) throw lost("follow events");
        await new Promise<void>((resolve) => {
          listener.wake = resolve;
        });
      }
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener("abort", onAbort);
    }
  }

  #deliver(event: EngineEvent): void {
    for (const listener of this.#listeners) {
      if (!passes(event, listener.filters)) continue;
      listener.queue.push(event);
      listener.wake();
    }
  }
}

/** Docker's filters: any value of a key, all keys; labels are all needed. */
function passes(event: EngineEvent, filters: Record<string, string[]>): boolean {
  return Object.entries(filters).every(([key, values]) => {
    if (values.length === 0) return true;
    switch (key) {
      case "type":
        return values.includes(event.Type);
      case "event":
        // Actions with a detail ("exec_create: sh") match by their first word.
        return values.some((v) => event.Action === v || event.Action.startsWith(`${v}:`));
      case "container":
      case "image":
        return (
          values.includes(event.Actor.ID) || values.includes(event.Actor.Attributes["name"] ?? "")
        );
      case "label":
        return values.every((label) => hasLabel(event.Actor.Attributes, label));
      default:
        return false;
    }
  });
}

/** "key" or "key=value". */
export function hasLabel(labels: Record<string, string>, wanted: string): boolean {
  const split = wanted.indexOf("=");
  const key = split < 0 ? wanted : wanted.slice(0, split);
  if (!Object.hasOwn(labels, key)) return false;
  return split < 0 || labels[key] === wanted.slice(split + 1);
}
