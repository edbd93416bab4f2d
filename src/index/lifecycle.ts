import { parseTimeNs } from "../convert/time.ts";
import type { ContainerState } from "../engine/types.ts";
import type { ChangeKind } from "./container-index.ts";
import { phaseOf, type Phase } from "./container-state.ts";

/**
 * What to tell of a step from one phase to the next, so that each listener hears of each object
 * created → started → stopped → deleted, with nothing twice and no stop missing before the end.
 * `before` undefined: the object was not known. `again`: it was running and has been restarted.
 */
export function lifecycleSteps(
  before: Phase | undefined,
  after: Phase | "deleted",
  again = false,
): ChangeKind[] {
  const steps: ChangeKind[] = before === undefined ? ["created"] : [];
  if (before === "running" && (after !== "running" || again)) steps.push("stopped");
  if (after === "running" && (before !== "running" || again)) steps.push("started");
  if (after === "stopped" && before !== "running" && before !== "stopped") steps.push("stopped");
  if (after === "deleted") steps.push("deleted");
  return steps;
}

/** An event tells of a start a little later than the inspect does; this much is another start. */
const ANOTHER_START_NS = 5_000_000_000n;

/** Both states are of a running container, of two different runs. */
export function startedAnew(before: ContainerState, after: ContainerState): boolean {
  const bothRun = phaseOf(before) === "running" && phaseOf(after) === "running";
  if (!bothRun || before.StartedAt === after.StartedAt) return false;
  const beforeNs = parseTimeNs(before.StartedAt);
  return beforeNs !== 0n && parseTimeNs(after.StartedAt) - beforeNs > ANOTHER_START_NS;
}
