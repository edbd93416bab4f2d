import { CriError } from "../errors.ts";
import type { Clock } from "../sys/clock.ts";

/** The answer must be under way before the caller stops waiting. */
const marginMs = 1_000;
/** Of callers that leave less than this beside the command's own time, half of their whole time is Docker's. */
const littleMs = 10_000;

/**
 * How long Docker may take for what is not the command's own time. The kubelet gives a call its
 * timeout and two minutes more, and treats the end of that as a command that ran too long: it must
 * have its answer before.
 */
export class ExecPatience {
  /** Clock.monotonicMs() at which an answer is due; Infinity for a caller that always waits. */
  readonly answerByMs: number;
  readonly #clock: Clock;
  readonly #startByMs: number;

  constructor(clock: Clock, remainingMs: number, timeoutMs: number) {
    this.#clock = clock;
    const spareMs = timeoutMs === Infinity ? remainingMs : remainingMs - timeoutMs;
    const roomMs = spareMs >= littleMs ? spareMs : Math.max(spareMs, remainingMs / 2);
    const less = (ms: number): number => ms - Math.min(marginMs, ms / 10);
    const nowMs = clock.monotonicMs();
    this.#startByMs = nowMs + less(roomMs);
    this.answerByMs = nowMs + less(remainingMs);
  }

  /** @throws CriError Unavailable when the work, which ends with its signal, takes too long */
  async untilStarted<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const done = new AbortController();
    const leftMs = Math.max(0, this.#startByMs - this.#clock.monotonicMs());
    this.#clock.sleep(leftMs, done.signal).then(
      () => late.abort(),
      () => undefined,
    );
    try {
      return await work(late.signal);
    } catch (error) {
      if (!late.signal.aborted) throw error;
      const message = `${what}: docker has not started it while its caller waits`;
      throw new CriError("Unavailable", message, { cause: error });
    } finally {
      done.abort();
    }
  }
}
