import { existsSync } from "node:fs";
import { status as GrpcCode } from "@grpc/grpc-js";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { logPathOf } from "../support/containers.ts";
import type { TestNode } from "../support/node.ts";
import { containerConfig, hostSandboxConfig, sandboxConfig } from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { counting, readCounting } from "./counting.ts";
import { pick } from "./random.ts";
import { attachAndLeave, execMissing } from "./streams.ts";

export interface Counts {
  pods: number;
  containers: number;
  execs: number;
  streams: number;
  logs: number;
  reads: number;
  pulls: number;
  /** Pods given up because a fault took their pause container. */
  lost: number;
  /** Calls that failed and were asked again: faults make them, and nothing else may. */
  again: number;
}

export interface ChurnDeps {
  node: TestNode;
  /** References of a registry on loopback. */
  images: readonly string[];
  counts: Counts;
  /** True while a fault is in force, and a little longer: then a failed call is no surprise. */
  faulty(): boolean;
}

/** A fault ended the pod: what is left to do is to stop and remove it. */
class PodLost extends Error {}

const timeoutMs = 30_000;

/** One pod's life with what a kubelet and its users do; everything that failed is asked again. */
export async function livePod(deps: ChurnDeps, random: () => number): Promise<void> {
  const { node, counts } = deps;
  const { runtime } = node;
  const config = random() < 0.5 ? sandboxConfig(node) : hostSandboxConfig(node);
  const { podSandboxId } = await untilDone(deps, "RunPodSandbox", () =>
    runtime.runPodSandbox({ config }, { timeoutMs }),
  );
  counts.pods += 1;
  try {
    await useContainers(deps, { podSandboxId, sandbox: config }, random);
  } catch (error) {
    if (!(error instanceof PodLost)) throw error;
    counts.lost += 1;
  }
  await untilDone(deps, "StopPodSandbox", () =>
    runtime.stopPodSandbox({ podSandboxId }, { timeoutMs }),
  );
  await untilDone(deps, "RemovePodSandbox", () =>
    runtime.removePodSandbox({ podSandboxId }, { timeoutMs }),
  );
}

async function useContainers(
  deps: ChurnDeps,
  pod: RunningPod,
  random: () => number,
): Promise<void> {
  const { runtime } = deps.node;
  const ids: string[] = [];
  for (let at = 0; at < 1 + Math.floor(random() * 2); at += 1) {
    const config = containerConfig(counting, { metadata: { name: `c${at}` } });
    const containerId = await startOne(deps, pod, config);
    ids.push(containerId);
    for (let visit = 0; visit < 4; visit += 1) await visitContainer(deps, containerId, random);
    await checkLog(deps, pod, config);
  }
  const [containerId] = ids;
  if (random() < 0.5 || containerId === undefined) return;
  await untilDone(deps, "StopContainer", () =>
    runtime.stopContainer({ containerId, timeout: 0n }, { timeoutMs }),
  );
  await untilDone(deps, "RemoveContainer", () =>
    runtime.removeContainer({ containerId }, { timeoutMs }),
  );
}

async function startOne(deps: ChurnDeps, pod: RunningPod, config: ContainerInit): Promise<string> {
  const { runtime } = deps.node;
  const request = { podSandboxId: pod.podSandboxId, config, sandboxConfig: pod.sandbox };
  const { containerId } = await untilDone(deps, "CreateContainer", () =>
    runtime.createContainer(request, { timeoutMs }),
  );
  await untilDone(deps, "StartContainer", async () => {
    await runtime.startContainer({ containerId }, { timeoutMs });
  });
  deps.counts.containers += 1;
  return containerId;
}

async function visitContainer(
  deps: ChurnDeps,
  containerId: string,
  random: () => number,
): Promise<void> {
  const { node, counts } = deps;
  const { runtime } = node;
  const what = pick(random, ["exec", "exec", "missing", "attach", "leave", "status", "update"]);
  await untilDone(deps, what, async () => {
    // A fault may have ended it: then there is nothing to visit.
    const { status } = await runtime.containerStatus({ containerId }, { timeoutMs });
    if (status?.state !== ContainerState.CONTAINER_RUNNING) return;
    if (what === "exec") {
      const code = Math.floor(random() * 3);
      const cmd = ["sh", "-c", `echo said; exit ${code}`];
      const answer = await runtime.execSync({ containerId, cmd, timeout: 10n }, { timeoutMs });
      if (answer.exitCode !== code && !deps.faulty()) {
        throw new Error(`exec: ${answer.exitCode} in place of ${code}`);
      }
      counts.execs += 1;
    } else if (what === "update") {
      const linux = { cpuShares: BigInt(2 + Math.floor(random() * 1000)) };
      await runtime.updateContainerResources({ containerId, linux }, { timeoutMs });
    } else if (what !== "status") {
      if (what === "missing") await execMissing(node, containerId);
      else await attachAndLeave(node, containerId, what === "leave");
      counts.streams += 1;
    }
    counts.reads += 1;
  });
}

/** Numbers in a row from 0: a line that is lost or doubled breaks it, whatever the fault. */
async function checkLog(deps: ChurnDeps, pod: RunningPod, config: ContainerInit): Promise<void> {
  const path = logPathOf(pod, config);
  await untilDone(deps, "log", () => {
    if (!existsSync(path)) return Promise.reject(new Error("no log yet"));
    return Promise.resolve();
  });
  const { wrong } = readCounting(path);
  if (wrong !== undefined) throw new Error(wrong);
  deps.counts.logs += 1;
}

/** Pulls and removes an image that nobody uses. */
export async function pullOne(deps: ChurnDeps, random: () => number): Promise<void> {
  const { images } = deps.node;
  const image = { image: pick(random, deps.images) };
  await untilDone(deps, "PullImage", () => images.pullImage({ image }, { timeoutMs }));
  await untilDone(deps, "RemoveImage", () => images.removeImage({ image }, { timeoutMs }));
  deps.counts.pulls += 1;
}

/** What a kubelet reads all the time. */
export async function readAll({ node, counts }: ChurnDeps): Promise<void> {
  const { runtime, images } = node;
  await Promise.allSettled([
    runtime.listPodSandbox({}, { timeoutMs }),
    runtime.listContainers({}, { timeoutMs }),
    runtime.listContainerStats({}, { timeoutMs }),
    runtime.listPodSandboxStats({}, { timeoutMs }),
    runtime.listPodSandboxMetrics({}, { timeoutMs }),
    runtime.status({}, { timeoutMs }),
    images.listImages({}, { timeoutMs }),
    images.imageFsInfo({}, { timeoutMs }),
  ]);
  counts.reads += 8;
}

/** Follows GetContainerEvents, again and again, until the signal. */
export async function followEvents({ node }: ChurnDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const stream = node.runtime.getContainerEvents({}, { signal })[Symbol.asyncIterator]();
      // Read and forgotten.
      while ((await stream.next()).done !== true);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** Asks until it works, as a kubelet does; without a fault in force it has to work at once. */
async function untilDone<T>(deps: ChurnDeps, what: string, call: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + 90_000;
  for (let quiet = 0; ;) {
    const faultyBefore = deps.faulty();
    try {
      return await call();
    } catch (error) {
      deps.counts.again += 1;
      // Three failures in a row while nothing is wrong with the node are Dockline's own.
      const faulty = faultyBefore || deps.faulty();
      const { code } = error as { code?: number };
      if (faulty && code === GrpcCode.FAILED_PRECONDITION) throw new PodLost(what);
      if (!faulty) quiet += 1;
      if (quiet >= 3 || performance.now() > endMs) {
        throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
}
