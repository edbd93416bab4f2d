import type { Engine } from "../engine/engine.ts";
import type { EngineEvent } from "../engine/types.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import { EventGap } from "./event-gap.ts";
import { ReconcilePeriod } from "./reconcile-period.ts";
import type { Sleeper } from "./sleeper.ts";
import type { Tick } from "./tick.ts";

/** Without the actions that every exec probe and health check would cause. */
const EVENT_FILTERS = {
  type: ["container", "image", "daemon"],
  event: [
    ...["create", "start", "die", "oom", "pause", "unpause", "destroy", "rename", "update"],
    ...["exec_die", "pull", "tag", "untag", "delete", "load", "import"],
    // The daemon's: its runtimes may be others.
    "reload",
  ],
};
const DOWN_POLL_MS = 1_000;
/** Pings without an answer until the engine counts as away; a busy one may miss one of them. */
const PINGS_UNTIL_AWAY = 2;
const PING_AGAIN_MS = 500;
/**
 * So much more of the past is asked for than was heard: what the engine does while it subscribes us,
 * tells in another order than its times, or dates back because its clock was set.
 */
const LOOK_BACK_NS = 2_000_000_000n;
const RESUBSCRIBE_FIRST_MS = 50;
const RESUBSCRIBE_LAST_MS = 5_000;
const RESYNC_RETRY_MS = 1_000;

export interface FollowerDeps {
  engine: Engine;
  clock: Clock;
  log: Logger;
  sleeper: Sleeper;
  signal: AbortSignal;
  tick: Tick;
  pingMs: number;
  pingTimeoutMs: number;
  reconcileMs: number;
  onEvent(event: EngineEvent): void;
  /**
   * Brings everything up to date by requests that begin after the call. `gapAt`, asked when the list
   * is there: the order before which events may be lost; undefined when none are.
   */
  resync(gapAt: () => Promise<number | undefined>): Promise<void>;
  /** One cheap look; tells how much no event had reported. */
  reconcile(): Promise<number>;
  /** The engine answers again after it had not. */
  onReturn(): void;
}

/** Keeps contact with the engine: pings, the event stream, and the times to look for oneself. */
export class EngineFollower {
  readonly #deps: FollowerDeps;
  #reachable: boolean | undefined;
  #reason = "the engine has not been asked yet";
  #live = false;
  #notLiveSinceMs = 0;
  #everLive = false;
  #lastContactMs = 0;
  #eventsSinceLook = 0;
  #silentRepairs = 0;
  #contacts = 0;
  #unanswered = 0;
  /** The stream that the engine has answered, while it is open. */
  #open: AbortSignal | undefined;
  #resyncing = false;
  #lastNs: bigint | undefined;
  readonly #gap: EventGap;
  #cutStream: () => void = () => undefined;
  #wakePing: () => void = () => undefined;
  #wakeStream: () => void = () => undefined;
  events = 0;
  resyncs = 0;
  constructor(deps: FollowerDeps) {
    this.#deps = deps;
    this.#gap = new EventGap(deps.sleeper);
    this.#lastContactMs = deps.clock.monotonicMs();
  }

  /** Undefined before the first answer or failure. */
  get reachable(): boolean | undefined {
    return this.#reachable;
  }

  get reason(): string {
    return this.#reachable === true ? "" : this.#reason;
  }

  /** Events arrive and everything before them has been read. */
  get live(): boolean {
    return this.#live;
  }

  get lastContactMs(): number {
    return this.#lastContactMs;
  }

  /** Milliseconds since memory stopped being up to date; Infinity if it never was. */
  get staleMs(): number {
    if (this.#live) return 0;
    return this.#everLive ? this.#deps.clock.monotonicMs() - this.#notLiveSinceMs : Infinity;
  }

  /** Runs until the signal aborts; never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#deps;
    const onAbort = (): void => {
      this.#cutStream();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    await outsideCall(() =>
      Promise.all([this.#pingLoop(), this.#streamLoop(), this.#reconcileLoop()]),
    );
    signal.removeEventListener("abort", onAbort);
    this.#notLive();
  }

  /** The engine answered a request of ours. */
  contact(): void {
    this.#lastContactMs = this.#deps.clock.monotonicMs();
    this.#contacts += 1;
    this.#unanswered = 0;
    if (this.#reachable === true) return;
    this.#reachable = true;
    this.#deps.log.info({}, "the engine answers");
    this.#wakeStream();
    this.#deps.onReturn();
    // The stream held: it lost nothing, and a list tells what came late.
    if (this.#open !== undefined) void this.#resync(this.#open);
  }

  async #pingLoop(): Promise<void> {
    const { engine, signal, pingTimeoutMs } = this.#deps;
    while (!this.#ended()) {
      const contacts = this.#contacts;
      try {
        await engine.ping({ timeoutMs: pingTimeoutMs, signal });
        this.contact();
      } catch (error) {
        // An answer that came meanwhile is the newer word.
        if (!this.#ended() && this.#contacts === contacts) this.#missedPing(error);
      }
      await this.#untilNextPing();
    }
  }

  /** Any answer of the engine puts the next ping off; `#wakePing` brings it on. */
  async #untilNextPing(): Promise<void> {
    const { clock, pingMs, sleeper } = this.#deps;
    if (this.#reachable === true && this.#unanswered > 0) {
      await sleeper.pause(PING_AGAIN_MS);
      return;
    }
    const wanted = { now: false };
    while (!this.#ended() && !wanted.now) {
      const up = this.#reachable === true;
      const waitMs = up ? this.#lastContactMs + pingMs - clock.monotonicMs() : DOWN_POLL_MS;
      if (waitMs <= 0) return;
      await sleeper.pause(waitMs, (now) => {
        this.#wakePing = () => {
          wanted.now = true;
          now();
        };
      });
      if (!up) return;
    }
  }

  async #streamLoop(): Promise<void> {
    const { engine, sleeper, log, clock } = this.#deps;
    let backoffMs = RESUBSCRIBE_FIRST_MS;
    while (!this.#ended()) {
      if (this.#reachable === false) {
        await sleeper.pause(DOWN_POLL_MS, (now) => (this.#wakeStream = now));
        continue;
      }
      const stream = new AbortController();
      this.#cutStream = () => {
        stream.abort();
      };
      const nowNs = clock.nowNs();
      const lastNs = this.#lastNs ?? nowNs;
      const sinceNs = (lastNs < nowNs ? lastNs : nowNs) - LOOK_BACK_NS;
      try {
        const onSubscribed = (): void => {
          backoffMs = RESUBSCRIBE_FIRST_MS;
          this.#gap.begins(this.#deps.tick.next());
          this.#open = stream.signal;
          void this.#resync(stream.signal);
        };
        for await (const event of engine.events(EVENT_FILTERS, {
          signal: stream.signal,
          onSubscribed,
          sinceNs,
        })) {
          if (isAborted(stream.signal)) break;
          if (this.#gap.isRepeated(event)) continue;
          this.#lastNs = event.timeNano;
          this.events += 1;
          this.#eventsSinceLook += 1;
          this.contact();
          this.#deps.onEvent(event);
        }
      } catch (error) {
        if (!this.#ended()) log.warn({ error: errorText(error) }, "the event stream ended");
      }
      stream.abort();
      this.#open = undefined;
      this.#gap.streamEnded();
      this.#notLive();
      // The fastest way to learn whether the engine itself is gone.
      this.#wakePing();
      await sleeper.pause(backoffMs);
      backoffMs = Math.min(backoffMs * 2, RESUBSCRIBE_LAST_MS);
    }
  }

  async #resync(stream: AbortSignal): Promise<void> {
    if (this.#resyncing) return;
    this.#resyncing = true;
    const { sleeper, log } = this.#deps;
    while (!isAborted(stream)) {
      try {
        await this.#deps.resync(() => this.#gap.owed());
        if (isAborted(stream)) break;
        this.#gap.settled();
        this.#live = true;
        this.#everLive = true;
        this.#silentRepairs = 0;
        this.resyncs += 1;
        log.info({}, "the index is synchronized with Docker");
        break;
      } catch (error) {
        log.warn({ error: errorText(error) }, "resync failed, will be repeated");
      }
      await sleeper.pause(RESYNC_RETRY_MS);
    }
    this.#resyncing = false;
    // Another stream began meanwhile, and found this one at work.
    const open = this.#open;
    if (open !== undefined && open !== stream && !isAborted(open)) void this.#resync(open);
  }

  async #reconcileLoop(): Promise<void> {
    const { sleeper, log, reconcileMs, clock } = this.#deps;
    const period = new ReconcilePeriod(reconcileMs);
    while (!this.#ended()) {
      await sleeper.pause(period.ms);
      if (this.#ended() || !this.#live) continue;
      try {
        const startedMs = clock.monotonicMs();
        const repairs = await this.#deps.reconcile();
        period.took(clock.monotonicMs() - startedMs);
        // Changes without a single event, twice: the stream is open and dead.
        const silent = repairs > 0 && this.#eventsSinceLook === 0;
        this.#silentRepairs = silent ? this.#silentRepairs + 1 : 0;
        this.#eventsSinceLook = 0;
        if (repairs > 0)
          log.info({ repairs }, "the list showed changes that no event had reported");
        if (this.#silentRepairs >= 2) this.#cutStream();
      } catch (error) {
        if (!this.#ended()) log.warn({ error: errorText(error) }, "the reconcile list failed");
      }
    }
  }

  #ended(): boolean {
    return isAborted(this.#deps.signal);
  }

  #missedPing(error: unknown): void {
    this.#unanswered += 1;
    const ready = this.#reachable === true;
    if (ready && this.#unanswered < PINGS_UNTIL_AWAY) return;
    this.#reason = errorText(error);
    if (this.#reachable !== false) {
      this.#deps.log.warn({ error: this.#reason }, "the engine does not answer");
    }
    this.#reachable = false;
    // The stream is left alone: the engine closes it, or goes on with it and has lost nothing.
    this.#notLive();
  }

  #notLive(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#notLiveSinceMs = this.#deps.clock.monotonicMs();
  }
}

/** A call of its own: the compiler takes a flag once read for unchanged, also after an await. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
