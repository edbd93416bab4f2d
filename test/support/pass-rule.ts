import { existsSync } from "node:fs";
import type { ServiceError } from "@grpc/grpc-js";
import { status as GrpcCode } from "@grpc/grpc-js";
import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { expectStatusesAgree, untilListsAgree } from "./agreement.ts";
import type { TestNode } from "./node.ts";
import { nodeState } from "./node-state.ts";
import type { NodeState } from "./node-state.ts";
import { containerConfig, removeAllPods, runPod, startContainer } from "./pods.ts";
import type { RunningPod } from "./pods.ts";
import { until } from "./until.ts";

export interface PassRule {
  /** What a bystander's reads may say while the fault lasts, besides OK. */
  mayAnswer?: (keyof typeof GrpcCode)[];
  /** The longest that one of them may take; a kubelet's own limit for a read is far above. */
  answersWithinMs?: number;
  /** The fault kills other pods' containers too (an engine without live-restore). */
  bystanderDies?: boolean;
  /** Dockline itself is ended by the fault: its process is another one afterwards. */
  restarts?: boolean;
}

/** What the bystander saw. */
export interface Seen {
  reads: number;
  slowestMs: number;
  codes: Partial<Record<keyof typeof GrpcCode, number>>;
}

/**
 * The rule that every fault is judged by: Dockline does not crash and has no unhandled rejection;
 * another pod's reads keep answering while `fault` runs, by it and until it is healed; within 10 s of
 * the end lists and statuses equal the engine's; what `fault` made can be removed, and then nothing
 * is left of it on the node. `fault` ends with its injection taken back.
 */
export async function passes(
  node: TestNode,
  fault: (bystander: RunningPod & { containerId: string }) => Promise<void>,
  rule: PassRule = {},
): Promise<Seen> {
  const before = nodeState(node);
  const logged = node.log().length;
  const { pid } = node;
  const pod = await runPod(node);
  const containerId = await startContainer(node, pod, containerConfig("sleep 100000"));
  const seen: Seen = { reads: 0, slowestMs: 0, codes: {} };
  const watch = watchReads(node, { ...pod, containerId }, rule, seen);
  let failed: unknown;
  try {
    await fault({ ...pod, containerId });
  } catch (error) {
    failed = error;
  }
  const broken = await watch.stop();
  // The next test starts from a clean node whatever became of this one.
  if (failed !== undefined) await removeAllPods(node).catch(() => undefined);
  if (failed !== undefined) throw failed as Error;
  if (broken !== undefined) throw broken;
  expect(seen.reads, "reads while the fault lasted").to.be.greaterThan(0);
  if (rule.restarts !== true) {
    expect(node.pid, "the same process").to.equal(pid);
    expect(existsSync(`/proc/${pid}`), "no crash").to.equal(true);
  }
  expectNoSlip(node.log().slice(logged));

  await until(() => engineReady(node), 10_000, "RuntimeReady after the fault");
  await untilListsAgree(node);
  await untilStatusesAgree(node);
  if (rule.bystanderDies !== true) await expectUntouched(node, pod.podSandboxId, containerId);
  // A kubelet repeats what failed: plugins stumble when others change the host's tables meanwhile.
  for (let attempt = 0; ; attempt += 1) {
    try {
      await removeAllPods(node);
      break;
    } catch (error) {
      if (attempt === 3) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
  // A container that outlived its pod: the kubelet collects those too.
  for (const { id } of (await node.runtime.listContainers({})).containers) {
    await node.runtime.removeContainer({ containerId: id });
  }
  await untilClean(node, before);
  return seen;
}

/** A status that was answered without an inspect in time has the next one's times. */
async function untilStatusesAgree(node: TestNode): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await expectStatusesAgree(node);
      return;
    } catch (error) {
      if (attempt === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** In the midst of a test: containers, namespaces, mounts, links, addresses, records, open files. */
async function untilClean(node: TestNode, before: NodeState): Promise<void> {
  const kinds = Object.keys(before) as (keyof NodeState)[];
  const more = (): string[] => {
    const now = nodeState(node);
    return kinds.flatMap((kind) => {
      const left = [...before[kind]];
      return now[kind].filter((item) => {
        const at = left.indexOf(item);
        if (at >= 0) left.splice(at, 1);
        return at < 0;
      });
    });
  };
  for (let attempt = 0; more().length > 0 && attempt < 60; attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  expect(more(), "left on the node").to.deep.equal([]);
}

export async function engineReady(node: TestNode): Promise<boolean> {
  const { status } = await node.runtime.status({}, { timeoutMs: 5000 });
  return status?.conditions.find(({ type }) => type === "RuntimeReady")?.status === true;
}

/** Reads all the time; `stop` gives the first that broke the rule. */
function watchReads(
  node: TestNode,
  { podSandboxId, containerId }: { podSandboxId: string; containerId: string },
  rule: PassRule,
  seen: Seen,
): { stop(): Promise<Error | undefined> } {
  const allowed = new Set<keyof typeof GrpcCode>(["OK", ...(rule.mayAnswer ?? [])]);
  const limitMs = rule.answersWithinMs ?? 5000;
  let going = true;
  let broken: Error | undefined;
  const reads: (() => Promise<unknown>)[] = [
    () => node.runtime.listContainers({}, { timeoutMs: limitMs }),
    () => node.runtime.podSandboxStatus({ podSandboxId }, { timeoutMs: limitMs }),
    () => node.runtime.containerStatus({ containerId }, { timeoutMs: limitMs }),
    () => node.runtime.status({}, { timeoutMs: limitMs }),
  ];
  const loop = (async () => {
    for (let at = 0; going; at += 1) {
      const began = performance.now();
      const read = reads[at % reads.length];
      const code = await (read?.() ?? Promise.resolve()).then(
        () => "OK" as const,
        (error: unknown) => GrpcCode[(error as ServiceError).code] as keyof typeof GrpcCode,
      );
      const tookMs = performance.now() - began;
      seen.reads += 1;
      seen.slowestMs = Math.max(seen.slowestMs, tookMs);
      seen.codes[code] = (seen.codes[code] ?? 0) + 1;
      if (!allowed.has(code)) {
        broken ??= new Error(`a bystander's read ${String(read)} said ${code} in ${tookMs} ms`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  return {
    stop: async () => {
      going = false;
      await loop;
      return broken;
    },
  };
}

function expectNoSlip(log: string): void {
  const slips = log
    .split("\n")
    .filter((line) => /unhandled rejection|uncaught exception/i.test(line));
  expect(slips, "no unhandled rejection").to.deep.equal([]);
}

async function expectUntouched(
  node: TestNode,
  podSandboxId: string,
  containerId: string,
): Promise<void> {
  const pod = await node.runtime.podSandboxStatus({ podSandboxId });
  expect(pod.status?.state, "the other pod").to.equal(PodSandboxState.SANDBOX_READY);
  const { status } = await node.runtime.containerStatus({ containerId });
  expect(status?.state, "its container").to.equal(ContainerState.CONTAINER_RUNNING);
}
