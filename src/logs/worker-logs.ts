import { readFileSync } from "node:fs";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { settleWithin, valueWithin } from "../sys/abort.ts";
import type { Clock } from "../sys/clock.ts";
import { RecentMap } from "../sys/recent-map.ts";
import { WatchedWorker } from "../sys/watched-worker.ts";
import type { ContainerLogs, LogLag, ResumedLog } from "./container-logs.ts";
import { hangs, HungPath } from "./hung-path.ts";
import { LagSums } from "./lag-sums.ts";
import type { MustAnswer } from "./log-folders.ts";
import { TakeOver } from "./take-over.ts";
import { LeftOut, WorkerCalls } from "./worker-calls.ts";
import { plain } from "./worker-messages.ts";
import type {
  FromLogWorker,
  LogCalls,
  LogMethod,
  LogWorkerData,
  ToLogWorker,
} from "./worker-messages.ts";

/** Threads that hang are replaced so many times; then logs wait until one of them has ended. */
const MOST_GIVEN_UP = 4;
/** Before a thread that ended is started again: at first, and at most. */
const FIRST_PAUSE_MS = 100;
const MOST_PAUSE_MS = 5000;
/** A thread that has run for so long is not counted with those that ended before it. */
const STEADY_MS = 60_000;
/** For the last positions to be saved. */
const CLOSE_MS = 1500;
/** For a thread to begin: no disk that hangs keeps Dockline from serving. */
const BEGIN_MS = 3000;
/** What the thread may take beyond the time that a drain has. */
const DRAIN_SLACK_MS = 100;
/** Containers removed last, which a list that was made before may still have. */
const MOST_REMOVED = 4096;

export interface WorkerLogsDeps {
  /** Dockline's own folder; positions are kept in `logs` below it. */
  stateDir: string;
  clock: Clock;
  log: Logger;
  /** Asked before the files of a log are opened again. */
  mustAnswer: MustAnswer;
  /** For tests: each thread that is started. */
  onWorker?: (worker: WatchedWorker) => void;
}

/**
 * The logs in a thread of their own: a disk that hangs stops that thread alone. One that has not answered for
 * 10 s is given up, and a new one does the work of all containers but those whose files it hangs on; these come
 * back when the old thread has ended, and until then nobody else touches their files.
 */
export class WorkerLogs implements ContainerLogs {
  readonly #deps: WorkerLogsDeps;
  /** What is followed, for a thread that takes over. */
  readonly #known = new Map<string, ResumedLog>();
  readonly #calls = new WorkerCalls();
  readonly #hung = new Set<HungPath>();
  readonly #takeOver: TakeOver<WatchedWorker>;
  #worker: WatchedWorker | undefined;
  #hasResumed = false;
  #startedMs = 0;
  #deaths = 0;
  #pause: NodeJS.Timeout | undefined;
  readonly #lag = new LagSums();
  readonly #removed = new RecentMap<true>(MOST_REMOVED);
  #closed = false;

  constructor(deps: WorkerLogsDeps) {
    this.#deps = deps;
    this.#takeOver = new TakeOver(
      deps.log,
      () => this.#goOn(),
      (worker) => worker === this.#worker && !this.#closed,
    );
    this.#startWorker();
  }

  /** Settles when the thread answers, or after so many milliseconds: who reads a state before that waits in vain. */
  async begun(limitMs = BEGIN_MS): Promise<void> {
    try {
      await settleWithin(this.#ask("adopt", [[]]), limitMs, this.#deps.clock);
    } catch {
      // Nothing else needs the logs in order to serve, and what the thread began with says so and is repeated.
    }
  }

  async start(target: ResumedLog): Promise<void> {
    const { containerId } = target;
    this.#removed.delete(containerId);
    await this.#askOf(containerId, "start", [target], () =>
      [...this.#hung].find((one) => one.concerns(target)),
    );
    // A thread that takes over makes its log again should it be gone.
    if (!this.#removed.has(containerId)) this.#known.set(containerId, { ...target, running: true });
  }

  async drain(containerId: string, timeoutMs: number): Promise<boolean> {
    const { clock } = this.#deps;
    const work = this.#drainUntil(containerId, clock.monotonicMs() + timeoutMs);
    return await valueWithin(work, timeoutMs + DRAIN_SLACK_MS, clock, false);
  }

  async #drainUntil(containerId: string, untilMs: number): Promise<boolean> {
    for (;;) {
      await this.#hungWith(containerId)?.over;
      const leftMs = untilMs - this.#deps.clock.monotonicMs();
      if (leftMs < 0) return false;
      try {
        return await this.#ask("drain", [containerId, leftMs]);
      } catch (error) {
        if (!(error instanceof LeftOut)) throw error;
      }
    }
  }

  async reopen(containerId: string): Promise<void> {
    await this.#askOf(containerId, "reopen", [containerId], () => this.#hungWith(containerId));
  }

  async remove(containerId: string): Promise<void> {
    this.#known.delete(containerId);
    this.#removed.set(containerId, true);
    for (const { leftOut } of this.#hung) leftOut.delete(containerId);
    // A later thread drops the position, as those of all that it is not given.
    if (!this.#isStuck) await this.#ask("remove", [containerId]);
  }

  async resume(targets: ResumedLog[]): Promise<void> {
    for (const target of targets) {
      const { containerId } = target;
      if (!this.#known.has(containerId) && !this.#removed.has(containerId))
        this.#known.set(containerId, target);
    }
    this.#hasResumed = true;
    await this.#goOn();
  }

  lag(): LogLag {
    return this.#lag.with(this.#hung);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#pause);
    const worker = this.#worker;
    if (worker !== undefined) {
      const saved = this.#ask("close", []).catch(() => undefined);
      await settleWithin(saved, CLOSE_MS, this.#deps.clock);
      // Its end is waited for with that of all threads.
      void worker.end(0);
    }
    this.#calls.close();
  }

  #ask<M extends LogMethod>(method: M, args: LogCalls[M]["args"]): Promise<LogCalls[M]["result"]> {
    return this.#calls.ask(method, args, (message) => this.#worker?.post(message));
  }

  /** A call whose answer is that the log's file system hangs when it does so meanwhile. */
  async #askOf<M extends "start" | "reopen">(
    containerId: string,
    method: M,
    args: LogCalls[M]["args"],
    hungNow: () => HungPath | undefined,
  ): Promise<void> {
    const hung = hungNow();
    if (hung !== undefined || this.#isStuck) throw hangs(containerId, hung);
    try {
      await this.#ask(method, args);
    } catch (error) {
      throw error instanceof LeftOut ? hangs(containerId, hungNow()) : error;
    }
  }

  /** So many threads hang that there is none to ask until one of them has ended. */
  get #isStuck(): boolean {
    return this.#hung.size > MOST_GIVEN_UP;
  }

  #hungWith(containerId: string): HungPath | undefined {
    return [...this.#hung].find(({ leftOut }) => leftOut.has(containerId));
  }

  #startWorker(): void {
    this.#startedMs = this.#deps.clock.monotonicMs();
    const { stateDir } = this.#deps;
    const worker = new WatchedWorker("logs", { stateDir } satisfies LogWorkerData, {
      message: (message) => this.#heard(worker, message as FromLogWorker),
      hung: (path) => this.#giveUp(worker, path),
      ended: (error) => this.#ended(worker, error),
    });
    this.#worker = worker;
    this.#deps.onWorker?.(worker);
    this.#calls.again(
      (message) => worker.post(message),
      () => this.#takeOver.run(worker),
    );
  }

  /** With all that is known and that nobody hangs on. */
  #goOn(): Promise<undefined> {
    const [waiting, targets] = [[] as string[], [] as ResumedLog[]];
    for (const [containerId, target] of this.#known) {
      if (this.#hungWith(containerId) === undefined) targets.push(target);
      else waiting.push(containerId);
    }
    return this.#hasResumed
      ? this.#ask("resume", [targets, waiting])
      : this.#ask("adopt", [targets]);
  }

  #heard(worker: WatchedWorker, message: FromLogWorker): void {
    const isCurrent = worker === this.#worker;
    if ("result" in message) {
      if (isCurrent) this.#calls.answered(message.result, message.value, message.error);
    } else if ("lag" in message) {
      if (isCurrent) this.#lag.current = message.lag;
    } else if ("asks" in message) {
      const answer = (answers: ToLogWorker): void => {
        if (worker === this.#worker) worker.post(answers);
      };
      const { asks } = message;
      this.#deps.mustAnswer(message.folder).then(
        () => answer({ answers: asks }),
        (error: unknown) => answer({ answers: asks, error: plain(error) }),
      );
    } else this.#deps.log[message.level](message.fields, message.msg);
  }

  #giveUp(worker: WatchedWorker, path: string): void {
    if (worker !== this.#worker || this.#closed) return;
    const hung = new HungPath(
      path,
      readFileSync("/proc/self/mountinfo", "utf8"),
      this.#known.values(),
      worker.whenEnded,
    );
    this.#hung.add(hung);
    this.#stopCounting();
    void worker.whenEnded.then(() => this.#cameBack(hung));
    this.#deps.log.warn(
      { mountPoint: hung.place, path, containers: hung.leftOut.size, threads: this.#hung.size },
      "the file system of container logs has not answered for 10 s; the logs on it wait",
    );
    this.#calls.leaveOut(
      (id, target) => hung.leftOut.has(id) || (target !== undefined && hung.concerns(target)),
    );
    if (this.#hung.size <= MOST_GIVEN_UP) this.#startWorker();
    else {
      this.#calls.leaveAll();
      this.#deps.log.error({}, "too many threads of container logs hang: all logs wait");
    }
  }

  #cameBack(hung: HungPath): void {
    this.#hung.delete(hung);
    if (this.#closed) return;
    this.#deps.log.info({ mountPoint: hung.place }, "the file system of container logs answers");
    const worker = this.#worker;
    if (worker === undefined) {
      if (this.#pause === undefined) this.#startWorker();
      return;
    }
    const back = [...hung.leftOut].filter((id) => this.#hungWith(id) === undefined);
    const targets = back.flatMap((id) => this.#known.get(id) ?? []);
    this.#ask("adopt", [targets]).catch((error: unknown) => {
      this.#takeOver.failed(worker, error);
    });
  }

  #stopCounting(): void {
    this.#lag.ended();
    this.#worker = undefined;
  }

  #ended(worker: WatchedWorker, error: Error | undefined): void {
    if (worker !== this.#worker || this.#closed) return;
    this.#stopCounting();
    const ranMs = this.#deps.clock.monotonicMs() - this.#startedMs;
    this.#deaths = ranMs > STEADY_MS ? 0 : this.#deaths + 1;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** this.#deaths, MOST_PAUSE_MS);
    this.#deps.log.error(
      { error: errorText(error ?? "it ended by itself"), pauseMs },
      "the thread of container logs ended and is started again",
    );
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#startWorker();
    }, pauseMs);
  }
}
