import { setTimeout as sleep } from "node:timers/promises";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { quantile } from "../bench/figures.ts";
import { atOnce } from "../support/at-once.ts";
import { logPathOf } from "../support/containers.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import { containerConfig, removeAllPods, runPod, startContainer } from "../support/pods.ts";
import { snapshotOf } from "../support/snapshot.ts";
import type { Snapshot } from "../support/snapshot.ts";
import { until } from "../support/until.ts";
import { counting, readCounting } from "./counting.ts";
import type { Verdict } from "./gauges.ts";

/**
 * F3: Dockline is ended and started again under running, exited and stopped pods: by SIGKILL, by SIGTERM, and by SIGKILL in the
 * midst of its own start. Afterwards it must say the same of every pod and container, byte by byte.
 */
export async function restartRounds(
  plugins: FailpointNode,
  options: { restarts: number; pods: number; random: () => number; say: (text: string) => void },
): Promise<Verdict[]> {
  const { node } = plugins;
  const { restarts, pods, random, say } = options;
  const counted: string[] = [];
  let ended = 0;
  await atOnce(4, pods, async (at) => {
    const [ends, counts, isStopped] = [0, 1, 2].map((role) => at % 10 === role);
    const pod = await runPod(node);
    const config = containerConfig(ends ? "exit 3" : counts ? counting : "sleep 100000");
    await startContainer(node, pod, config);
    if (counts) counted.push(logPathOf(pod, config));
    if (isStopped) await node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
    if (ends || isStopped) ended += 1;
  });
  await until(
    async () => {
      const { containers } = await node.runtime.listContainers({});
      const exited = containers.filter(({ state }) => state === ContainerState.CONTAINER_EXITED);
      return exited.length === ended;
    },
    20_000,
    `${ended} exited containers`,
  );
  const before = await snapshotOf(node);
  const calls = plugins.calls().length;
  say(`${pods} pods, ${Object.keys(before).length} answers to compare`);
  let different: string | undefined;
  const startMs: number[] = [];
  for (let done = 0; done < restarts && different === undefined; done += 1) {
    if (done % 2 === 0) await node.kill();
    else await node.terminate();
    if (done % 3 === 2) {
      const starting = node.start().catch(() => undefined);
      await sleep(random() * 1200);
      await node.kill();
      await starting;
    }
    const began = performance.now();
    await node.start();
    startMs.push(performance.now() - began);
    different = differenceOf(before, await snapshotOf(node));
    if (different !== undefined) different = `restart ${done + 1}: ${different}`;
  }
  const called = plugins.calls().length - calls;
  const logs = counted.map(readCounting);
  const wrong = logs.find((log) => log.wrong !== undefined)?.wrong;
  const lines = logs.reduce((sum, log) => sum + log.lines, 0);
  const at = (part: number): string => (quantile(startMs, part) / 1000).toFixed(1);
  say(`from the start to right answers: median ${at(0.5)} s, longest ${at(1)} s`);
  await removeAllPods(node);
  return [
    { name: "answers", passed: different === undefined, text: different ?? "the same bytes" },
    { name: "calls of CNI plugins", passed: called === 0, text: String(called) },
    {
      name: "lines of logs",
      passed: wrong === undefined && lines > 0,
      text: wrong ?? `${lines} in ${logs.length} logs, none lost or doubled`,
    },
  ];
}

/** The first answer that is another one, or undefined. */
function differenceOf(before: Snapshot, after: Snapshot): string | undefined {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const key = keys.find((each) => String(before[each]) !== String(after[each]));
  return key === undefined
    ? undefined
    : `${key} was ${String(before[key])}, is ${String(after[key])}`;
}
