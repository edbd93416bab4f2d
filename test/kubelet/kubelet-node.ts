import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { engineSocket, startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { namespace, startKubeletApi } from "./rig.ts";
import type { KubeletApi, PodView } from "./rig.ts";

const kubeletScript = join(import.meta.dirname, "..", "lanes", "kubelet");

/** Dockline and a kubelet on it. */
export interface KubeletNode {
  node: TestNode;
  kubelet: KubeletApi;
  close(): Promise<void>;
}

export async function startKubeletNode(options: {
  port: number;
  /** Lines of the kubelet's configuration. */
  settings?: string[];
  /** Its flags. */
  args?: string[];
  /** Dockline's own. */
  docklineArgs?: string[];
}): Promise<KubeletNode> {
  stopOrphans();
  removeStaticPods();
  const node = await startNode({
    // Straight to the engine: starting and stopping a kubelet holds this process, and the proxy in it.
    args: [`--docker-endpoint=unix://${engineSocket}`, ...(options.docklineArgs ?? [])],
  });
  let kubelet: KubeletApi;
  try {
    kubelet = startKubeletApi({ endpoint: node.endpoint, ...options });
  } catch (error) {
    await node.close();
    throw error;
  }
  return {
    node,
    kubelet,
    close: async () => {
      kubelet.stop();
      removeStaticPods();
      await node.close();
    },
  };
}

/** Kubelets of a run that was killed: two on one engine would end each other's pods. */
function stopOrphans(): void {
  for (const folder of readdirSync(tmpdir())) {
    const [, name, pid] = /^dockline-kubelet-(t(\d+)-\d+)$/.exec(folder) ?? [];
    if (name === undefined || existsSync(`/proc/${pid}`)) continue;
    execFileSync(kubeletScript, ["stop", name], { stdio: "ignore" });
  }
}

/** What the kubelet would collect minutes after its pods' end, or what an aborted run left. */
export function removeStaticPods(): void {
  const docker = (...args: string[]): string[] =>
    execFileSync("docker", ["-H", `unix://${engineSocket}`, ...args], { encoding: "utf8" })
      .split("\n")
      .filter((line) => line !== "");
  const label = `label=io.kubernetes.pod.namespace=${namespace}`;
  for (let attempt = 0; ; attempt += 1) {
    const ids = docker("ps", "-aq", "--filter", label);
    if (ids.length === 0) return;
    try {
      docker("rm", "-fv", ...ids);
    } catch (error) {
      // Dockline, on its way out, is removing one of them.
      if (attempt >= 5) throw error;
    }
  }
}

/** What must stay as it is whatever happens to Dockline: ids and restart counts by container. */
export function identities(pods: readonly PodView[]): Record<string, string> {
  return Object.fromEntries(
    pods.flatMap(({ metadata, status }) =>
      [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])].map((one) => [
        `${metadata.name}/${one.name}`,
        `${one.containerID ?? "none"} restarts ${one.restartCount} ip ${status.podIP ?? "none"}`,
      ]),
    ),
  );
}
