import { EngineError } from "../engine/errors.ts";
import { waiting } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";

/**
 * For requests that may be repeated (start, kill, remove, inspect): the engine may have acted and
 * only its answer got lost with the connection; asked once more it says so (304, 409, 404). One
 * that is away stays away, so there is no third attempt.
 */
export async function repeatIfLost<T>(
  clock: Pick<Clock, "sleep">,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof EngineError) || error.failure !== "unreachable") throw error;
    await waiting("before a second try", () => clock.sleep(50));
    return await work();
  }
}
