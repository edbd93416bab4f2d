import { status as GrpcCode } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { quantile } from "../bench/figures.ts";
import { atOnce } from "../support/at-once.ts";
import { processesBeside } from "../support/container-processes.ts";
import type { TestNode } from "../support/node.ts";
import { until } from "../support/until.ts";
import type { Verdict } from "./gauges.ts";

const trees = [
  "sleep 1001",
  "trap '' TERM INT HUP; while :; do sleep 1002; done",
  "sh -c 'sh -c \"sleep 1003\" & sleep 1004' & sh -c 'sleep 1005'",
  "(setsid sleep 1006 &) ; sleep 1007",
];

/** F30: ExecSync with a timeout of 1 s on what runs forever, sixteen at a time. Nothing of it may live on. */
export async function timedExecs(
  node: TestNode,
  containerId: string,
  options: { count: number; say: (text: string) => void },
): Promise<Verdict[]> {
  const { count, say } = options;
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
  const at = (part: number): string => quantile(tookMs, part).toFixed(0);
  say(`execs of 1 s: median ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`);
  // One that Docker had not started at its timeout is killed once it has; a busy machine takes seconds.
  const underWay = async (): Promise<string[]> => {
    const found = await node.docker.inspectContainer(containerId);
    const { ExecIDs } = found as { ExecIDs?: string[] | null };
    return [...(ExecIDs ?? []), ...processesBeside(found.State.Pid, containerId)];
  };
  await until(async () => (await underWay()).length === 0, 30_000).catch(() => undefined);
  const left = await underWay();
  return [
    {
      name: "answers",
      passed: answers.get("DEADLINE_EXCEEDED") === count,
      text: [...answers].map(([answer, times]) => `${times} × ${answer}`).join(", "),
    },
    {
      name: "processes that live on",
      passed: left.length === 0,
      text: left.join("; ") || "none",
    },
  ];
}
