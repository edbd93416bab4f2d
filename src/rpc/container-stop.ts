import type { Handlers } from "../cri/bind.ts";
import { invalidArgument } from "../errors.ts";
import { isStatus, isUncertain } from "../engine/errors.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { PodDeps } from "./deps.ts";
import { removeContainer } from "./sandbox-teardown.ts";

/** StopContainer and RemoveContainer: both succeed for what is unknown or done already. */
export function containerStop(
  deps: PodDeps,
): Pick<Handlers<typeof RuntimeService>, "stopContainer" | "removeContainer"> {
  return {
    stopContainer: async (request) => {
      if (request.containerId === "") throw invalidArgument("stop: container id is empty");
      const container = await deps.index.find("container", request.containerId);
      if (container === undefined) return {};
      if (!container.state.Running && !container.state.Paused) return {};
      const graceSeconds = graceOf(request.timeout);
      // No lock: a second call with a shorter grace must reach the engine while the first one waits.
      let answer: "exited" | undefined;
      try {
        if (await deps.engine.stopContainer(container.id, graceSeconds)) answer = "exited";
      } catch (error) {
        if (isStatus(error, 404)) deps.index.removed(container.id);
        else if (!(await stoppedAnyway(deps, container.id, error))) throw error;
      } finally {
        deps.index.touched(container.id, answer);
      }
      return {};
    },
    removeContainer: async (request) => {
      if (request.containerId === "") throw invalidArgument("remove: container id is empty");
      const container = await deps.index.find("container", request.containerId, { asKnown: true });
      if (container === undefined) return {};
      await deps.locks.run(`container:${container.name}`, async () => {
        await removeContainer(deps, container.id);
        await deps.logs.remove(container.id);
      });
      return {};
    },
  };
}

/**
 * Docker's wait overflows far above this and then kills at once, as do Node's timers. Below zero the
 * CRI has no meaning, and Docker would wait for ever.
 */
const longestGraceSeconds = 2_000_000n;

function graceOf(seconds: bigint): number {
  if (seconds < 0n) return 0;
  return Number(seconds > longestGraceSeconds ? longestGraceSeconds : seconds);
}

/** Docker carries a stop out to its end whether or not its answer reaches us. */
async function stoppedAnyway(deps: PodDeps, id: string, error: unknown): Promise<boolean> {
  if (!isUncertain(error)) return false;
  const now = await deps.index.find("container", id, { fresh: true });
  return now?.state.Running !== true;
}
