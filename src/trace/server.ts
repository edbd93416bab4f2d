import { createServer } from "node:net";
import type { Socket } from "node:net";
import type { Logger } from "../log.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { CallTrace } from "../sys/call-trace.ts";
import { unlinkIfExists } from "../sys/fs.ts";
import { runningEvent } from "./event.ts";
import type { PullEvent, TraceEvent } from "./event.ts";
import type { TraceHub } from "./hub.ts";
import { listenAt } from "../sys/unix-socket.ts";

export interface TraceServer {
  /** Listeners that are connected, and events that were too many for one of them. */
  listeners(): number;
  dropped(): number;
  close(): Promise<void>;
}

export type PullProgressEvent = Omit<PullEvent, "type" | "at">;

/** Bytes that wait in one listener's socket before its events are dropped. */
const maxWaitingBytes = 1 << 20;
const maxListeners = 16;
const tickMs = 1000;
/** Of how many ticks one tells how far the pulls are. */
const pullTicks = 2;

/**
 * The trace socket: whoever connects (root only) gets the calls under way at once and from then
 * on each call that ends, as JSON lines. A call that lasts is sent again at 1, 2, 4, 8… seconds.
 * Who reads too slowly loses events and learns how many; no call ever waits.
 */
export async function serveTrace(options: {
  path: string;
  hub: TraceHub;
  pulls: () => readonly PullProgressEvent[];
  log: Logger;
}): Promise<TraceServer> {
  const { hub, log } = options;
  const listeners = new Set<Listener>();
  const nextTellMs = new WeakMap<CallTrace, number>();
  let dropped = 0;
  let stop: (() => void) | undefined;
  let ticks = 0;

  const pullEvents = (): TraceEvent[] => {
    const at = new Date().toISOString();
    return options.pulls().map((pull) => ({ type: "pull", at, ...pull }));
  };
  const running = (call: CallTrace): TraceEvent => {
    hub.name(call);
    return runningEvent(call, performance.now());
  };
  const tick = (): void => {
    ticks += 1;
    const events: TraceEvent[] = [];
    for (const call of hub.running) {
      const ageMs = performance.now() - call.startedAtMs;
      let next = nextTellMs.get(call) ?? tickMs;
      if (ageMs < next) continue;
      while (next <= ageMs) next *= 2;
      nextTellMs.set(call, next);
      events.push(running(call));
    }
    if (ticks % pullTicks === 0) events.push(...pullEvents());
    const lines = events.map(lineOf);
    for (const listener of listeners) for (const line of lines) listener.send(line);
  };
  /** Only while somebody listens is anything told, named or timed. */
  const begin = (): (() => void) => {
    const remove = hub.add({
      take: (told) => {
        for (const listener of listeners) listener.send(told.line());
      },
    });
    const timer = outsideCall(() => setInterval(tick, tickMs));
    return () => {
      clearInterval(timer);
      remove();
    };
  };

  const server = createServer((socket) => {
    if (listeners.size >= maxListeners) {
      socket.destroy();
      return;
    }
    const listener = new Listener(socket, () => (dropped += 1));
    listeners.add(listener);
    stop ??= begin();
    for (const call of hub.running) listener.send(lineOf(running(call)));
    for (const event of pullEvents()) listener.send(lineOf(event));
    socket.once("close", () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      stop?.();
      stop = undefined;
    });
  });
  // The instance lock is ours, so whoever made this file is gone.
  await unlinkIfExists(options.path);
  await listenAt(server, options.path, 0o600);
  server.on("error", (err) => log.warn({ err }, "trace socket"));
  return {
    listeners: () => listeners.size,
    dropped: () => dropped,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const listener of listeners) listener.close();
        listeners.clear();
        stop?.();
        stop = undefined;
      }),
  };
}

/** One who listens: what does not fit into its buffer is counted and told when there is room again. */
class Listener {
  readonly #socket: Socket;
  readonly #onDrop: () => void;
  #missed = 0;

  constructor(socket: Socket, onDrop: () => void) {
    this.#socket = socket;
    this.#onDrop = onDrop;
    socket.on("error", () => undefined);
    socket.on("drain", () => this.#tellMissed());
    // It has nothing to say; reading is how its end is seen.
    socket.resume();
  }

  send(line: string): void {
    if (this.#socket.writableLength > maxWaitingBytes) {
      this.#missed += 1;
      this.#onDrop();
      return;
    }
    this.#tellMissed();
    this.#socket.write(line);
  }

  close(): void {
    this.#socket.destroy();
  }

  #tellMissed(): void {
    if (this.#missed === 0) return;
    const count = this.#missed;
    this.#missed = 0;
    this.#socket.write(lineOf({ type: "dropped", at: new Date().toISOString(), count }));
  }
}

const lineOf = (event: TraceEvent): string => `${JSON.stringify(event)}\n`;
