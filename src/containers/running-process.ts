import { containerRun } from "../convert/state.ts";
import { CriError } from "../errors.ts";
import { ContainerState } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import { waiting } from "../sys/call-trace.ts";
import type { ContainerDeps } from "./deps.ts";

/** How long the engine may take to say what a container does. */
const budgetMs = 30_000;
const betweenLooksMs = 250;

/**
 * Host pid of the first process of a container whose start was answered; "ended" when it is known to have
 * ended or to be gone. What is remembered from before the start says neither.
 *
 * @throws Unavailable when the engine does not say it within 30 s
 */
export async function runningProcess(
  deps: Pick<ContainerDeps, "index" | "clock">,
  containerId: string,
): Promise<number | "ended"> {
  const endMs = deps.clock.monotonicMs() + budgetMs;
  for (;;) {
    const now = await deps.index.find("container", containerId, { fresh: true });
    if (now === undefined || hasEnded(now)) return "ended";
    if (now.state.Running && now.state.Pid > 0) return now.state.Pid;
    if (deps.clock.monotonicMs() >= endMs) {
      throw new CriError("Unavailable", `Docker does not say which process ${containerId} has`);
    }
    await waiting("process of the container", () => deps.clock.sleep(betweenLooksMs));
  }
}

/** Exited, dead, being removed, or never started by a start that failed: it will not run again. */
export const hasEnded = ({ state }: Pick<ContainerEntry, "state">): boolean =>
  containerRun(state, 0n).state === ContainerState.CONTAINER_EXITED;
