import { setTimeout as sleep } from "node:timers/promises";
import { atOnce } from "../support/at-once.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import { nodeState } from "../support/node-state.ts";
import { removePod, sandboxConfig } from "../support/pods.ts";
import { until } from "../support/until.ts";
import type { Verdict } from "./gauges.ts";

/**
 * F18, F19: pods are stopped and removed while their network is made, at a random moment of it, or ADD fails after its work. No
 * address may stay, no link, no record.
 */
export async function stopsInAdd(
  plugins: FailpointNode,
  options: { rounds: number; random: () => number },
): Promise<Verdict[]> {
  const { node } = plugins;
  const { rounds, random } = options;
  let [stopped, failed] = [0, 0];
  const stopOne = async (): Promise<void> => {
    const config = sandboxConfig(node);
    const running = node.runtime.runPodSandbox({ config }).then(
      () => true,
      () => false,
    );
    let podSandboxId = "";
    await until(async () => {
      const { items } = await node.runtime.listPodSandbox({});
      podSandboxId = items.find(({ metadata }) => metadata?.uid === config.metadata?.uid)?.id ?? "";
      return podSandboxId !== "";
    });
    await sleep(random() * 500);
    await node.runtime.stopPodSandbox({ podSandboxId });
    if (!(await running)) stopped += 1;
    await node.runtime.removePodSandbox({ podSandboxId });
  };
  const failOne = async (): Promise<void> => {
    const config = sandboxConfig(node);
    await node.runtime.runPodSandbox({ config }).catch(() => (failed += 1));
    const { items } = await node.runtime.listPodSandbox({});
    // One that DEL could not clear stays listed; the kubelet's way is to stop and remove it.
    for (const { id, metadata } of items) {
      if (metadata?.uid !== config.metadata?.uid) continue;
      await removePod(node, { podSandboxId: id });
    }
  };
  plugins.failOn({ ADD: "delay(300)" });
  await atOnce(4, rounds, stopOne);
  plugins.failOn({ ADD: "late-error(changed my mind)" });
  await atOnce(4, rounds, failOne);
  plugins.failOn({});
  const { addresses, links, records, containers } = nodeState(node);
  return [
    // Else the rounds were about nothing.
    {
      name: "stopped within ADD",
      passed: stopped > rounds / 4,
      text: `${stopped} of ${rounds}`,
    },
    { name: "failed", passed: failed === rounds, text: `${failed} of ${rounds}` },
    ...Object.entries({ addresses, links, records, containers }).map(([what, left]) => ({
      name: `${what} left`,
      passed: left.length === 0,
      text: left.slice(0, 3).join(", ") || "none",
    })),
  ];
}
