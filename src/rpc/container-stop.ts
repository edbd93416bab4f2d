import type { Handlers } from "../cri/bind.ts";
import { invalidArgument } from "../errors.ts";
import { isStatus, isUncertain } from "../engine/errors.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { settleWithin } from "../sys/abort.ts";
import type { PodDeps } from "../pods/deps.ts";
import { killContainer, mayRun, removeContainer, signalContainer } from "../pods/ending.ts";

/** StopContainer and RemoveContainer: both succeed for what is unknown or done already. */
export function containerStop(
  deps: PodDeps,
): Pick<Handlers<typeof RuntimeService>, "stopContainer" | "removeContainer"> {
  const underWay = new Map<string, Promise<void>>();
  return {
    stopContainer: async (request) => {
      if (request.containerId === "") throw invalidArgument("stop: container id is empty");
      const container = await deps.index.find("container", request.containerId);
      if (container === undefined) return {};
      if (mayRun(container)) {
        await stopSignalledOnce(deps, underWay, container.id, graceOf(request.timeout));
      }
      if (deps.hooks.active) await deps.hooks.containersStopped([container.id]);
      return {};
    },
    removeContainer: async (request, context) => {
      if (request.containerId === "") throw invalidArgument("remove: container id is empty");
      const container = await deps.index.find("container", request.containerId, { asKnown: true });
      if (container === undefined) return {};
      await deps.locks.run(
        `container:${container.name}`,
        async () => {
          if (deps.hooks.active) await deps.hooks.containerRemove(container.id);
          await removeContainer(deps, container.id);
          await deps.logs.remove(container.id);
        },
        context.signal,
      );
      return {};
    },
  };
}

/**
 * Docker sends the stop signal for each stop, and a program may take the second one for "at once": whoever asks again
 * while a stop is under way, as a restarted kubelet does, waits for that one, and kills if its own grace is over first.
 * No lock: a shorter grace must count while a longer one runs.
 */
async function stopSignalledOnce(
  deps: PodDeps,
  underWay: Map<string, Promise<void>>,
  id: string,
  graceSeconds: number,
): Promise<void> {
  const first = underWay.get(id);
  if (first === undefined) {
    const work = stop(deps, id, graceSeconds).finally(() => underWay.delete(id));
    underWay.set(id, work);
    await work;
    return;
  }
  const seen = { over: false };
  const over = first.then(
    () => void (seen.over = true),
    () => void (seen.over = true),
  );
  await settleWithin(over, graceSeconds * 1000, deps.clock);
  if (!seen.over) await killContainer(deps, id);
  // One that failed has done nothing for this caller.
  await first.catch(() => stopSignalledOnce(deps, underWay, id, graceSeconds));
}

async function stop(deps: PodDeps, id: string, graceSeconds: number): Promise<void> {
  let answer: "exited" | undefined;
  try {
    if ((await signalContainer(deps, id, graceSeconds)) === true) answer = "exited";
  } catch (error) {
    if (isStatus(error, 404)) deps.index.removed(id);
    else if (!(await stoppedAnyway(deps, id, error))) throw error;
  } finally {
    deps.index.touched(id, answer);
  }
}

/**
 * Docker's wait overflows far above this and then kills at once, as do Node's timers. Below zero the
 * CRI has no meaning, and Docker would wait forever.
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
  return !mayRun(now);
}
