import { readFileSync, readdirSync } from "node:fs";
import { status as GrpcCode } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import type { TestNode } from "../support/node.ts";
import { until } from "../support/until.ts";
import { atOnce } from "./at-once.ts";
import type { Verdict } from "./gauges.ts";

const trees = [
  "sleep 1001",
  "trap '' TERM INT HUP; while :; do sleep 1002; done",
  "sh -c 'sh -c \"sleep 1003\" & sleep 1004' & sh -c 'sleep 1005'",
  "(setsid sleep 1006 &) ; sleep 1007",
];

/** F30: ExecSync with a timeout of 1 s on what runs for ever, sixteen at a time. Nothing of it may live on. */
export async function timedExecs(
  node: TestNode,
  containerId: string,
  options: { count: number; say: (text: string) => void },
): Promise<Verdict[]> {
  const { count, say } = options;
  const name = (what: string): string => `${count} execs that time out: ${what}`;
  const answers = new Map<string, number>();
  const tookMs: number[] = [];
  await atOnce(16, count, async (at) => {
    const cmd = ["sh", "-c", trees[at % trees.length] ?? ""];
    const began = performance.now();
    const answer = await node.runtime.execSync({ containerId, cmd, timeout: 1n }).then(
      ({ exitCode }) => `exit code ${exitCode}`,
      (error: unknown) => GrpcCode[(error as ServiceError).code],
    );
    tookMs.push(performance.now() - began);
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  });
  tookMs.sort((a, b) => a - b);
  const at = (part: number): string =>
    (tookMs[Math.floor(part * (tookMs.length - 1))] ?? 0).toFixed(0);
  say(`execs of 1 s: median ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`);
  // One that Docker had not started at its timeout is killed once it has; a busy machine takes seconds.
  const underWay = async (): Promise<string[]> => {
    const found = await node.docker.inspectContainer(containerId);
    const { ExecIDs } = found as { ExecIDs?: string[] | null };
    return [...(ExecIDs ?? []), ...processesOf(containerId, found.State.Pid)];
  };
  await until(async () => (await underWay()).length === 0, 30_000).catch(() => undefined);
  const left = await underWay();
  return [
    {
      name: name("answers"),
      passed: answers.get("DEADLINE_EXCEEDED") === count,
      text: [...answers].map(([answer, times]) => `${times} × ${answer}`).join(", "),
    },
    {
      name: name("processes that live on"),
      passed: left.length === 0,
      text: left.join("; ") || "none",
    },
  ];
}

/** Command lines of all processes in the container's cgroup but its first one. */
function processesOf(containerId: string, first: number): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      if (!/^\d+$/.test(pid) || Number(pid) === first) return [];
      if (!readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(containerId)) return [];
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      // Nobody reaps orphans there: a zombie has no command line any more.
      return line === "" ? [] : [line];
    } catch {
      // Ended while it was read.
      return [];
    }
  });
}
