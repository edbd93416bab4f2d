import type { Engine } from "../engine/engine.ts";
import { isStatus } from "../engine/errors.ts";
import type { ContainerInspect } from "../engine/types.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import type { Mark } from "./container-index.ts";
import type { Sleeper } from "./sleeper.ts";
import type { Tick } from "./tick.ts";

/** A hung request is given up after this; until then no second one is made for the object. */
const FLIGHT_LIMIT_MS = 60_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_LAST_MS = 30_000;

export interface InspectorDeps {
  engine: Engine;
  clock: Clock;
  log: Logger;
  tick: Tick;
  sleeper: Sleeper;
  /** Requests at once, those past `budgetMs` not counted. */
  limit: number;
  budgetMs: number;
  delayMs: number;
  signal: AbortSignal;
  /** False while asking is pointless. */
  engineReady(): boolean;
  onFlight(id: string, mark: Mark | undefined): void;
  onAnswer(inspect: ContainerInspect, mark: Mark): Promise<void>;
  onGone(id: string): void;
  /** True while the object wants (another) inspect. */
  wanted(id: string): boolean;
}

interface Job {
  readonly id: string;
  state: "delayed" | "retry" | "queued" | "flying";
  mark: Mark | undefined;
  /** Clock.monotonicMs() since when an inspect is wanted and none has succeeded. */
  wantedAtMs: number;
  readonly failures: number;
  cancelTimer: () => void;
  /** Clock.monotonicMs() at which its timer ends. */
  dueMs: number;
  readonly settled: Promise<void>;
  readonly settle: () => void;
}

/**
 * One inspect at a time for each object, a few at once over all. A request that hangs (the engine
 * holds the container's lock) keeps its object and gives its place back to the others.
 */
export class Inspector {
  readonly #jobs = new Map<string, Job>();
  readonly #queue: Job[] = [];
  readonly #deps: InspectorDeps;
  #busy = 0;
  #slow = 0;
  #started = 0;
  constructor(deps: InspectorDeps) {
    this.#deps = deps;
  }

  get started(): number {
    return this.#started;
  }

  get inFlight(): number {
    return this.#busy + this.#slow;
  }

  get stuck(): number {
    return this.#slow;
  }

  /**
   * Asks for an inspect soon; the delay lets what belongs together arrive before it begins, and
   * makes it needless where somebody else's inspect comes first.
   */
  want(id: string, delayMs = this.#deps.delayMs): void {
    if (this.#deps.signal.aborted) return;
    const job = this.#jobs.get(id);
    const dueMs = this.#deps.clock.monotonicMs() + delayMs;
    if (job === undefined) this.#schedule(this.#newJob(id, "delayed"), delayMs);
    else if (job.state === "delayed" && job.dueMs > dueMs) this.#schedule(job, delayMs);
  }

  /**
   * Resolves when an inspect that began after `sinceOrder` has ended, or when no such one can be
   * had within the budget. Never rejects.
   */
  async settle(id: string, sinceOrder: number, budgetMs: number): Promise<void> {
    const { signal, sleeper, clock } = this.#deps;
    const endMs = clock.monotonicMs() + budgetMs;
    for (let leftMs = budgetMs; leftMs > 0; leftMs = endMs - clock.monotonicMs()) {
      if (signal.aborted || !this.#deps.engineReady()) return;
      const job = this.#urgent(id);
      const enough = job.mark === undefined || job.mark.order > sinceOrder;
      const outcome = await sleeper.within(job.settled, leftMs);
      if (outcome === "late" || enough) return;
    }
  }

  /** How long an inspect of the object has been wanted in vain; 0 when none is wanted. */
  waitingMs(id: string): number {
    const job = this.#jobs.get(id);
    return job === undefined ? 0 : this.#deps.clock.monotonicMs() - job.wantedAtMs;
  }

  /** Age of the object's request under way; 0 when there is none. */
  flyingMs(id: string): number {
    const job = this.#jobs.get(id);
    if (job?.state !== "flying" || job.mark === undefined) return 0;
    return this.#deps.clock.monotonicMs() - job.mark.monotonicMs;
  }

  /** Failed inspects waiting for another try are tried now: the engine is back. */
  retryNow(): void {
    for (const job of this.#jobs.values()) {
      if (job.state !== "retry") continue;
      job.wantedAtMs = this.#deps.clock.monotonicMs();
      this.#enqueue(job, false);
    }
  }

  /** Every wait ends; requests under way end with the owner's signal. */
  close(): void {
    for (const job of [...this.#jobs.values()]) if (job.state !== "flying") this.#end(job);
  }

  #newJob(id: string, state: Job["state"], after?: Job): Job {
    let settle = (): void => undefined;
    const settled = new Promise<void>((resolve) => (settle = resolve));
    const job: Job = {
      id,
      state,
      mark: undefined,
      wantedAtMs: after?.wantedAtMs ?? this.#deps.clock.monotonicMs(),
      failures: after === undefined ? 0 : after.failures + 1,
      cancelTimer: () => undefined,
      dueMs: 0,
      settled,
      settle,
    };
    this.#jobs.set(id, job);
    return job;
  }

  /** The object's job, brought to the front. */
  #urgent(id: string): Job {
    const job = this.#jobs.get(id) ?? this.#newJob(id, "delayed");
    if (job.state === "delayed" || job.state === "retry") this.#enqueue(job, true);
    return job;
  }

  #schedule(job: Job, ms: number): void {
    job.cancelTimer();
    job.dueMs = this.#deps.clock.monotonicMs() + ms;
    job.cancelTimer = this.#deps.sleeper.after(ms, () => {
      if (this.#jobs.get(job.id) !== job) return;
      if (this.#deps.wanted(job.id)) this.#enqueue(job, false);
      else this.#end(job);
    });
  }

  #enqueue(job: Job, front: boolean): void {
    if (job.state === "queued" || job.state === "flying") return;
    job.cancelTimer();
    job.state = "queued";
    if (front) this.#queue.unshift(job);
    else this.#queue.push(job);
    this.#pump();
  }

  #pump(): void {
    while (this.#busy < this.#deps.limit) {
      const job = this.#queue.shift();
      if (job === undefined) return;
      if (job.state !== "queued" || this.#jobs.get(job.id) !== job) continue;
      if (this.#deps.signal.aborted) this.#end(job);
      else if (!this.#deps.engineReady()) {
        job.state = "retry";
        this.#schedule(job, RETRY_LAST_MS);
      } else outsideCall(() => void this.#fly(job));
    }
  }

  async #fly(job: Job): Promise<void> {
    const { engine, tick, budgetMs, signal, log, sleeper } = this.#deps;
    const { id } = job;
    job.state = "flying";
    this.#busy += 1;
    this.#started += 1;
    const mark = tick.mark();
    job.mark = mark;
    this.#deps.onFlight(id, mark);
    const flight = { slow: false };
    const notSlow = sleeper.after(budgetMs, () => {
      flight.slow = true;
      this.#busy -= 1;
      this.#slow += 1;
      log.warn({ containerId: id }, "inspect is slow, the last known facts are served");
      this.#pump();
    });
    let failure: unknown;
    try {
      const inspect = await engine.inspectContainer(id, { timeoutMs: FLIGHT_LIMIT_MS, signal });
      await this.#deps.onAnswer(inspect, mark);
    } catch (error) {
      if (isStatus(error, 404)) this.#deps.onGone(id);
      else failure = error;
    }
    notSlow();
    if (flight.slow) this.#slow -= 1;
    else this.#busy -= 1;
    this.#deps.onFlight(id, undefined);
    this.#landed(job, failure);
    this.#pump();
  }

  #landed(job: Job, failure: unknown): void {
    const { signal, log } = this.#deps;
    this.#end(job);
    if (signal.aborted || !this.#deps.wanted(job.id)) return;
    if (failure === undefined) {
      this.want(job.id);
      return;
    }
    log.warn(
      { containerId: job.id, error: errorText(failure) },
      "inspect failed, will be repeated",
    );
    const retryMs = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** job.failures);
    this.#schedule(this.#newJob(job.id, "retry", job), retryMs);
  }

  #end(job: Job): void {
    job.cancelTimer();
    if (this.#jobs.get(job.id) === job) this.#jobs.delete(job.id);
    job.settle();
  }
}
