import { setTimeout as sleep } from "node:timers/promises";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { logPathOf, readCriLog } from "../support/containers.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import { containerConfig, removeAllPods, runPod, startContainer } from "../support/pods.ts";
import { snapshotOf } from "../support/snapshot.ts";
import type { Snapshot } from "../support/snapshot.ts";
import { until } from "../support/until.ts";
import { atOnce } from "./at-once.ts";
import type { Verdict } from "./gauges.ts";

const counting = "at=0; while :; do echo $at; at=$((at + 1)); sleep 0.05; done";

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
  const name = (what: string): string => `${restarts} restarts under ${pods} pods: ${what}`;
  const counted: string[] = [];
  await atOnce(4, pods, async (at) => {
    const pod = await runPod(node);
    const config = containerConfig(
      at % 10 === 0 ? "exit 3" : at % 10 === 1 ? counting : "sleep 100000",
    );
    await startContainer(node, pod, config);
    if (at % 10 === 1) counted.push(logPathOf(pod, config));
    if (at % 10 === 2) await node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
  });
  // Those that end by themselves, and those of the stopped pods.
  const ended = Array.from({ length: pods }, (_, at) => at % 10).filter(
    (at) => at % 10 < 3 && at !== 1,
  );
  await until(
    async () => {
      const { containers } = await node.runtime.listContainers({});
      const exited = containers.filter(({ state }) => state === ContainerState.CONTAINER_EXITED);
      return exited.length === ended.length;
    },
    20_000,
    `${ended.length} exited containers`,
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
  startMs.sort((a, b) => a - b);
  const verdicts = [
    { name: name("answers"), passed: different === undefined, text: different ?? "the same bytes" },
    {
      name: name("calls of CNI plugins"),
      passed: plugins.calls().length === calls,
      text: `${plugins.calls().length - calls}`,
    },
    ...logVerdicts(name("lines of logs"), counted),
  ];
  const at = (part: number): string =>
    ((startMs[Math.floor(part * (startMs.length - 1))] ?? 0) / 1000).toFixed(1);
  say(`from the start to right answers: median ${at(0.5)} s, longest ${at(1)} s`);
  await removeAllPods(node);
  return verdicts;
}

/** The first answer that is another one, or undefined. */
function differenceOf(before: Snapshot, after: Snapshot): string | undefined {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const key = keys.find((each) => String(before[each]) !== String(after[each]));
  return key === undefined
    ? undefined
    : `${key} was ${String(before[key])}, is ${String(after[key])}`;
}

/** Numbers in a row from 0 over all restarts: none lost, none twice. */
function logVerdicts(name: string, paths: readonly string[]): Verdict[] {
  let lines = 0;
  for (const path of paths) {
    const numbers = readCriLog(path).map(({ text }) => Number(text));
    const wrong = numbers.findIndex((number, at) => number !== at);
    if (wrong >= 0)
      return [{ name, passed: false, text: `${path}: line ${wrong} is ${numbers[wrong] ?? ""}` }];
    lines += numbers.length;
  }
  return [
    { name, passed: lines > 0, text: `${lines} in ${paths.length} logs, none lost or doubled` },
  ];
}
