import type { Engine } from "../engine/engine.ts";
import { isStatus } from "../engine/errors.ts";
import type { ExecInspect } from "../engine/types.ts";
import type { ContainerIndex } from "../index/container-index.ts";
import { CriError, errorText } from "../errors.ts";
import { waiting } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import type { ProcessAge } from "../sys/process-tree.ts";

export interface ExecExitDeps {
  engine: Pick<Engine, "inspectExec">;
  index: Pick<ContainerIndex, "onEvent">;
  clock: Clock;
  /** How long the command has been running, by the host pid that Docker gives. */
  execAge: (pid: number, containerId: string, execId: string) => ProcessAge;
}

/** How an exec that Docker has accepted came to its end. */
export interface ExecExit {
  exitCode: number;
  /** False: Docker could not start it; its reason is in the output, and the code is Docker's own. */
  started: boolean;
}

/** Why Docker's word that an exec is not over tells nothing of the command. */
type Behind = "docker has not started it" | "it has ended, and docker has not noticed";

/** What ends the wait for an exec first. */
export type ExecEnd = ExecExit | "timeout" | "cancelled";

type Look = "closed" | "died" | "time" | "cancelled";

/** The end's event comes on another connection than the end of the output, a moment later. */
const eventMs = 100;
/** How long an engine that is slow or comes back may take to say what became of a late command. */
const verdictMs = 2_000;
/** How long the inspect of a command whose output has ended may take. */
const exitMs = 10_000;
/** How long an engine that answers may be behind with the start or the end of a command. */
const behindMs = 60_000;
const firstLookMs = 50;
const longestLookMs = 2_000;
/** How often a command that goes on is looked at: the event of its end may have been lost. */
const firstCheckMs = 3_000;
const longestCheckMs = 30_000;
/** What moby's event says of an exec that it does not know. */
const unknownExitCode = 127;

/** Follows one exec from before its start: what Docker's events, its inspects and its output tell. */
export class ExecWatch {
  readonly #deps: ExecExitDeps;
  readonly #execId: string;
  readonly #containerId: string;
  readonly #release: () => void;
  readonly #died: Promise<void>;
  #diedWith: number | undefined;
  /** The event was waited for and came: it does not end a second wait. */
  #deathSeen = false;
  #answerByMs = Infinity;

  constructor(deps: ExecExitDeps, execId: string, containerId: string) {
    this.#deps = deps;
    this.#execId = execId;
    this.#containerId = containerId;
    let died = (): void => undefined;
    this.#died = new Promise((resolve) => (died = resolve));
    this.#release = deps.index.onEvent((event) => {
      if (!event.Action.startsWith("exec_die")) return;
      if (event.Actor.Attributes["execID"] !== execId) return;
      const code = Number(event.Actor.Attributes["exitCode"]);
      if (Number.isInteger(code) && code !== unknownExitCode) this.#diedWith = code;
      died();
    });
  }

  /** Must be called on every path. */
  release(): void {
    this.#release();
  }

  /**
   * Waits for the command's end. `closed` is the end of its output, which may come before its own
   * end (it closed its streams) or long after (a child in the background holds them). A command is
   * late when it ran for longer than `timeoutMs`, counted from Docker's acknowledgement of its start.
   * At `answerByMs` of the clock its caller must know.
   *
   * @throws CriError Unavailable when Docker does not say what became of it
   */
  async end(
    closed: Promise<void>,
    timeoutMs: number,
    signal: AbortSignal,
    answerByMs: number,
  ): Promise<ExecEnd> {
    const { clock } = this.#deps;
    this.#answerByMs = answerByMs;
    const endMs = clock.monotonicMs() + timeoutMs;
    let look: Look = "time";
    for (let pauseMs = firstCheckMs; ; pauseMs = Math.min(2 * pauseMs, longestCheckMs)) {
      const leftMs = endMs - clock.monotonicMs();
      look = await this.#first({ closed }, Math.min(pauseMs, leftMs), signal);
      if (look !== "time") break;
      if (leftMs <= pauseMs) return await this.#late(closed, timeoutMs, signal);
      const exit = await this.#check(Math.min(verdictMs, leftMs - pauseMs));
      if (exit !== undefined) return exit;
    }
    if (look === "closed") look = await this.#first({}, Math.min(eventMs, timeoutMs), signal);
    for (let pauseMs = firstLookMs; ; pauseMs = Math.min(2 * pauseMs, longestLookMs)) {
      if (look === "cancelled") return "cancelled";
      const exit = await this.#exit();
      if (exit !== undefined) return exit;
      const leftMs = endMs - clock.monotonicMs();
      if (leftMs <= 0) return await this.#late(undefined, timeoutMs, signal);
      look = await this.#first({}, Math.min(pauseMs, leftMs), signal);
    }
  }

  /** While its output is open nothing follows from an engine that does not answer. */
  async #check(timeoutMs: number): Promise<ExecExit | undefined> {
    try {
      const found = await this.#deps.engine.inspectExec(this.#execId, { timeoutMs });
      return this.#exitByEvent() ?? exitIn(found);
    } catch (error) {
      if (isStatus(error, 404)) throw this.#unknown(errorText(error), error);
      return undefined;
    }
  }

  /** Milliseconds that its caller still waits, and never none: one look is always taken. */
  #patienceMs(): number {
    return Math.max(1, this.#answerByMs - this.#deps.clock.monotonicMs());
  }

  #exitByEvent(): ExecExit | undefined {
    return this.#diedWith === undefined ? undefined : { exitCode: this.#diedWith, started: true };
  }

  /** By the event, which spares a request; by an inspect where it tells nothing. */
  async #exit(): Promise<ExecExit | undefined> {
    const known = this.#exitByEvent();
    if (known !== undefined) return known;
    try {
      const timeoutMs = Math.min(exitMs, this.#patienceMs());
      const found = await this.#deps.engine.inspectExec(this.#execId, { timeoutMs });
      return this.#exitByEvent() ?? exitIn(found);
    } catch (error) {
      throw this.#unknown(errorText(error), error);
    }
  }

  /**
   * The time is up. Docker is asked whether the command still runs, and the kernel for how long: the
   * start may have taken Docker long after it was acknowledged, and an engine that was frozen tells
   * for a moment of commands as running that have long ended.
   */
  async #late(
    closed: Promise<void> | undefined,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ExecEnd> {
    const { clock, engine } = this.#deps;
    const dueMs = clock.monotonicMs() + this.#patienceMs();
    const giveUpMs = clock.monotonicMs() + behindMs;
    let untilMs = Math.min(clock.monotonicMs() + verdictMs, dueMs);
    let nextPauseMs = eventMs;
    let problem: unknown = "it began late";
    for (let leftMs = untilMs - clock.monotonicMs(); leftMs > 0;) {
      let pauseMs = eventMs;
      try {
        const found = await engine.inspectExec(this.#execId, { timeoutMs: leftMs });
        const verdict = this.#exitByEvent() ?? exitIn(found) ?? this.#verdict(found, timeoutMs);
        if (typeof verdict === "object" || verdict === "timeout") return verdict;
        if (typeof verdict === "number") {
          pauseMs = verdict;
          untilMs = clock.monotonicMs() + pauseMs + verdictMs;
        } else {
          // It answers, and has much to catch up with: it is not asked all the time.
          problem = verdict;
          pauseMs = nextPauseMs;
          nextPauseMs = Math.min(2 * nextPauseMs, longestLookMs);
          if (clock.monotonicMs() < giveUpMs) untilMs = clock.monotonicMs() + pauseMs + verdictMs;
        }
      } catch (error) {
        if (isStatus(error, 404)) throw this.#unknown(errorText(error), error);
        problem = error;
      }
      const waits = closed === undefined ? {} : { closed };
      untilMs = Math.min(untilMs, dueMs);
      const restMs = Math.max(0, untilMs - clock.monotonicMs());
      const look = await this.#first(waits, Math.min(pauseMs, restMs), signal);
      if (look === "cancelled") return "cancelled";
      const known = this.#exitByEvent();
      if (known !== undefined) return known;
      if (look === "closed") closed = undefined;
      leftMs = untilMs - clock.monotonicMs();
    }
    throw this.#unknown(typeof problem === "string" ? problem : errorText(problem), problem);
  }

  /**
   * Of an exec that Docker calls unfinished when its time is up: late; or the milliseconds that it has
   * left; or why Docker's word does not count yet.
   */
  #verdict({ Running, Pid }: ExecInspect, timeoutMs: number): "timeout" | number | Behind {
    if (!Running || Pid === 0) return "docker has not started it";
    const age = this.#deps.execAge(Pid, this.#containerId, this.#execId);
    if (age === "gone") return "it has ended, and docker has not noticed";
    return age === "unknown" || age >= timeoutMs ? "timeout" : timeoutMs - age;
  }

  #unknown(reason: string, cause: unknown): CriError {
    const message = `exec in ${this.#containerId}: docker does not tell how the command ended: ${reason}`;
    return new CriError("Unavailable", message, { cause });
  }

  async #first(
    { closed }: { closed?: Promise<void> },
    ms: number,
    signal: AbortSignal,
  ): Promise<Look> {
    const stop = new AbortController();
    const combined = AbortSignal.any([signal, stop.signal]);
    const { clock } = this.#deps;
    try {
      const first = await waiting("command", () =>
        Promise.race([
          ...(this.#deathSeen ? [] : [this.#died.then(() => "died" as const)]),
          ...(closed === undefined ? [] : [closed.then(() => "closed" as const)]),
          clock.sleep(ms, combined).then(
            () => "time" as const,
            () => "cancelled" as const,
          ),
        ]),
      );
      if (first === "died") this.#deathSeen = true;
      return first;
    } finally {
      stop.abort();
    }
  }
}

/** Docker knows no pid of an exec that it could not start. */
function exitIn({ Running, ExitCode, Pid }: ExecInspect): ExecExit | undefined {
  return Running || ExitCode === null ? undefined : { exitCode: ExitCode, started: Pid > 0 };
}
