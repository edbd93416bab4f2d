import type { Duplex } from "node:stream";
import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/errors.ts";
import type { Clock } from "../sys/clock.ts";

export interface ExecExitDeps {
  engine: Pick<Engine, "inspectExec">;
  clock: Pick<Clock, "sleep" | "monotonicMs">;
}

const soonMs = [0, 10, 20, 50, 100, 200, 500];
const laterMs = 1_000;
const silenceMs = 2_000;
const firstLookMs = 3_000;
const maxLookMs = 30_000;
/** So long an engine may be slow or away before the exit code is given up. */
const patienceMs = 60_000;

/**
 * Waits for the exit code. Output may end long before the process (which may close its stdout), and
 * Docker notes the exit a moment after the output's end: never guess 0. An engine that is slow or away is
 * asked again for a minute. Rejects with EngineError, or with the signal's reason. Undefined when the
 * process has ended but Docker does not say how.
 */
export async function waitExitCode(
  deps: ExecExitDeps,
  execId: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { clock, engine } = deps;
  let failingSinceMs: number | undefined;
  for (let round = 0; ; round += 1) {
    await clock.sleep(soonMs[round] ?? laterMs, signal);
    const askedMs = clock.monotonicMs();
    try {
      const found = await engine.inspectExec(execId, { signal });
      if (!found.Running) return found.ExitCode ?? undefined;
      failingSinceMs = undefined;
    } catch (error) {
      failingSinceMs ??= askedMs;
      if (signal.aborted || isFinal(error)) throw error;
      if (clock.monotonicMs() - failingSinceMs >= patienceMs) throw error;
    }
  }
}

/** Docker has answered, and a second question would get the same answer. */
function isFinal(error: unknown): boolean {
  return error instanceof EngineError && error.failure === "status" && error.status < 500;
}

/**
 * Resolves when the process has ended although its output has not: a child in the background holds
 * the pipe. Looks rarely, and treats silence as the end only while the client keeps up, so that no
 * output is cut. Never rejects.
 */
export async function waitOutputLeftOpen(
  deps: ExecExitDeps,
  execId: string,
  stream: Duplex,
  clientKeepsUp: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  for (let pauseMs = firstLookMs; ; pauseMs = Math.min(2 * pauseMs, maxLookMs)) {
    try {
      await deps.clock.sleep(pauseMs, signal);
      const found = await deps.engine.inspectExec(execId, { signal });
      if (found.Running) continue;
      for (;;) {
        const before = bytesRead(stream);
        await deps.clock.sleep(silenceMs, signal);
        if (before === undefined) return;
        if (bytesRead(stream) === before && clientKeepsUp()) return;
      }
    } catch {
      // The engine is away, or the exec is held by its own wait for the output: look again later.
      if (signal.aborted) return;
    }
  }
}

function bytesRead(stream: Duplex): number | undefined {
  return (stream as { bytesRead?: number }).bytesRead;
}
