import { join } from "node:path";
import { startNode } from "../support/node.ts";
import { createContainer, hostSandboxConfig, runPod, containerConfig } from "../support/pods.ts";
import { removeAllPods } from "../support/pods.ts";
import type { BenchEngine } from "./engine.ts";
import { startRecorder } from "./recorder.ts";
import { RequestCounter } from "./request-counts.ts";
import type { IdleCount, RequestCount } from "./request-counts.ts";
import type { RawPod } from "./subjects.ts";

export interface Counts {
  counts: RequestCount[];
  idle: IdleCount;
  /** What Dockline sent for a pod, for the raw contenders. */
  pod: Pick<RawPod, "bodies" | "oldId">;
}

/** The request counts of every RPC and of an idle node: the same on any machine, so CI asserts them. */
export async function countRequests(
  folder: string,
  engine: BenchEngine,
  idleSeconds: number,
): Promise<Counts> {
  const listen = join(folder, "recorder.sock");
  const recorder = await startRecorder(engine.socket, listen);
  const node = await startNode({ upstream: listen });
  try {
    const counter = new RequestCounter(node);
    const { sandboxId } = await counter.run();
    // The last of each kind: the first sandbox may have met an engine without the pause image.
    const created = recorder.bodies(/^(\/v[\d.]+)?\/containers\/create/);
    const sandbox = created.findLast((body) => isSandbox(body, "none"));
    const hostSandbox = created.findLast((body) => isSandbox(body, "host"));
    const container = created.findLast((body) => isOf(body, sandboxId));
    const [exec] = recorder.bodies(/^(\/v[\d.]+)?\/containers\/[^/]+\/exec$/);
    const bodies = {
      sandbox: withoutMeaning(sandbox),
      hostSandbox: withoutMeaning(hostSandbox),
      container: withoutMeaning(container),
      exec,
    };
    await manyContainers(node, 200);
    const idle = await counter.idle(idleSeconds);
    return { counts: counter.counts, idle, pod: { bodies, oldId: sandboxId } };
  } finally {
    await removeAllPods(node);
    await node.close();
    await recorder.close();
  }
}

async function manyContainers(
  node: Awaited<ReturnType<typeof startNode>>,
  total: number,
): Promise<void> {
  const pod = await runPod(node, hostSandboxConfig(node));
  let made = 0;
  const lane = async (): Promise<void> => {
    while (made < total) {
      made += 1;
      const name = `c${made}`;
      await createContainer(node, pod, containerConfig("sleep 1", { metadata: { name } }));
    }
  };
  await Promise.all([lane(), lane(), lane(), lane()]);
}

/** The same size of labels, which no bridge takes for its own. */
function withoutMeaning(body: unknown): unknown {
  const { Labels, ...rest } = body as { Labels: Record<string, string> };
  const renamed = Object.entries(Labels).map(([key, value]) => [`raw.${key}`, value]);
  return { ...rest, Labels: Object.fromEntries(renamed) as Record<string, string> };
}

interface CreateBody {
  HostConfig: { NetworkMode: string };
}

function isSandbox(body: unknown, network: string): boolean {
  return (body as CreateBody).HostConfig.NetworkMode === network;
}

function isOf(body: unknown, sandboxId: string): boolean {
  return (body as CreateBody).HostConfig.NetworkMode === `container:${sandboxId}`;
}
