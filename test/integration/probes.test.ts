import { existsSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { setTimeout as sleep } from "node:timers/promises";
import { processesBeside } from "../support/container-processes.ts";
import { plainExecs } from "../support/plain-execs.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { rpcFailure } from "../support/rpc-failure.ts";
import { until } from "../support/until.ts";

/** What a kubelet makes of an exec probe's answer: it throws away every other error. */
type Verdict = "success" | "failure" | "thrown away";

interface Answer {
  verdict: Verdict;
  /** "OK" or the error's. */
  code: string;
  tookMs: number;
}

interface Target {
  id: string;
  /** The host's pid of its first process. */
  init: number;
}

describe("300 exec probes at once", function () {
  this.timeout(300_000);
  let engine: PrivateEngine;
  let node: TestNode;
  /** Whether plain Docker gets so many execs of one container to their end that start in one moment. */
  let dockerCan: boolean;
  let pods: RunningPod[];
  let targets: Target[];
  const together = 30;

  before(async () => {
    engine = await startPrivateEngine();
    node = await startNode({ withoutNetwork: true, upstream: engine.socketPath });
    const { allDone, hanging } = await plainExecs(engine.socketPath, together, 20_000);
    dockerCan = allDone !== undefined && hanging === 0;
    const when = allDone === undefined ? "not within 20 s" : `in ${allDone.toFixed(1)} s`;
    process.stdout.write(
      `        plain Docker: ${together} execs of one container end ${when}, ${hanging} inspects of them hang\n`,
    );
  });
  beforeEach(() => {
    pods = [];
    targets = [];
  });
  after(async () => {
    await node.close();
    await engine.remove();
  });
  afterEach(async () => {
    node.proxy.faults.clear();
    for (const { id, init } of targets) {
      await until(() => processesBeside(init, id).length <= 1, 60_000, "no exec is left");
    }
    for (const pod of pods) await removePod(node, pod);
  });

  /** Each in a pod of its own: containers of one pod have the same shim. */
  const startTargets = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at += 1) {
      const pod = await runPod(node, hostSandboxConfig(node));
      pods.push(pod);
      const config = containerConfig("mkdir /t; while :; do sleep 1000 & wait; done");
      const id = await startContainer(node, pod, config);
      targets.push({ id, init: (await node.docker.inspectContainer(id)).State.Pid });
    }
  };

  const timeoutSeconds = 3;
  /** Notes in the container when it begins and ends, so that the test knows by itself what is late. */
  const noted = (at: string, sleep: string): string =>
    `read -r a _ </proc/uptime; echo $a >/t/${at}; sleep ${sleep}; read -r b _ </proc/uptime; echo $a $b >/t/${at}`;
  const probe = async (
    { id: containerId }: Target,
    line: string,
    timeout = BigInt(timeoutSeconds),
  ): Promise<Answer> => {
    const cmd = ["sh", "-c", line];
    const began = performance.now();
    let exitCode = -1;
    const call = node.runtime.execSync({ containerId, cmd, timeout }).then((answer) => {
      exitCode = answer.exitCode;
      throw new Error("answered");
    });
    const { code } = await rpcFailure(call);
    const tookMs = performance.now() - began;
    if (exitCode >= 0)
      return { verdict: exitCode === 0 ? "success" : "failure", code: "OK", tookMs };
    return { verdict: code === "DEADLINE_EXCEEDED" ? "failure" : "thrown away", code, tookMs };
  };
  /** So many at once as the engine can bear, each in the next container. */
  const probes = (count: number, line: (at: number) => string): Promise<Answer[]> =>
    Promise.all(
      Array.from({ length: count }, (_, at) => probe(targets[at % targets.length]!, line(at))),
    );
  /** Failures of commands that were done with a second to spare, or were never begun. */
  const wrong = (answers: readonly Answer[], prefix: string): string[] =>
    answers.flatMap(({ verdict }, at) => {
      if (verdict !== "failure") return [];
      const { init } = targets[at % targets.length]!;
      const path = `/proc/${init}/root/t/${prefix}${at}`;
      if (!existsSync(path)) return ["not begun"];
      const text = readFileSync(path, "utf8").trim();
      const [begun = 0, ended] = text.split(" ").map(Number);
      return ended !== undefined && ended - begun < timeoutSeconds - 1 ? [text] : [];
    });
  const count = (answers: readonly Answer[], wanted: Verdict): number =>
    answers.filter(({ verdict }) => verdict === wanted).length;
  const report = (what: string, answers: readonly Answer[]): void => {
    process.stdout.write(
      `        ${what}: ${count(answers, "success")} of ${answers.length} succeeded, ` +
        `${count(answers, "failure")} failed, ${count(answers, "thrown away")} are unknown\n`,
    );
  };
  /** Where Docker hangs with many of one pod, none gets more than a pod has probes. */
  const startAll = async (): Promise<number> => {
    await startTargets(dockerCan ? 1 : 15);
    return dockerCan ? 300 : 45;
  };

  it("fail for no container whose command was done in time, with an engine that answers slowly", async () => {
    const many = await startAll();
    for (const [route, delayMs] of [
      [/^\/containers\/\{id\}\/exec$/, 1_500],
      [/^\/exec\/\{id\}\/start$/, 1_500],
      [/^\/exec\/\{id\}\/json$/, 3_000],
    ] as const) {
      node.proxy.faults.add({ match: { route }, action: "delay", delayMs });
    }
    const answers = await probes(many, (at) => noted(`s${at}`, "0"));
    report("slow engine", answers);
    expect(wrong(answers, "s")).to.deep.equal([]);
    expect(count(answers, "success")).to.be.above(0);
  });

  it("fail for no container whose command was done in time, with an engine that is frozen for 20 s", async () => {
    const many = await startAll();
    const begun = probes(many, (at) => noted(`f${at}`, `0.${at % 10}`));
    await sleep(1_000);
    engine.freeze();
    try {
      // More of them come in while it is frozen.
      const later = sleep(2_000).then(() => probes(many, (at) => noted(`l${at}`, "0")));
      await sleep(20_000);
      engine.thaw();
      const first = await begun;
      const second = await later;
      report("before the freeze", first);
      report("while it is frozen", second);
      expect([...wrong(first, "f"), ...wrong(second, "l")]).to.deep.equal([]);
    } finally {
      engine.thaw();
    }
    const works = async (): Promise<boolean> =>
      (await probe(targets[0]!, "true", 20n)).verdict === "success";
    await until(works, 30_000, "probes work again");
    // And one that really takes too long fails.
    expect((await probe(targets[0]!, "sleep 30")).verdict).to.equal("failure");
  });

  it("of one pod are unknown where Docker hangs with them, and nothing else waits", async () => {
    await startTargets(1);
    const pod = await runPod(node, hostSandboxConfig(node));
    pods.push(pod);
    const begun = probes(together, (at) => noted(`o${at}`, "0"));
    await sleep(1_000);
    const began = performance.now();
    const config = containerConfig("while :; do sleep 1000 & wait; done");
    const other = await startContainer(node, pod, config);
    const { exitCode } = await node.runtime.execSync({
      ...{ containerId: other, cmd: ["true"], timeout: 10n },
    });
    const { containers } = await node.runtime.listContainers({});
    await node.runtime.containerStatus({ containerId: targets[0]!.id });
    await node.runtime.stopContainer({ containerId: other, timeout: 0n });
    const othersMs = performance.now() - began;
    const answers = await begun;
    report("one pod", answers);
    const slowest = Math.max(...answers.map(({ tookMs }) => tookMs));
    process.stdout.write(
      `        the slowest answer took ${(slowest / 1000).toFixed(1)} s, another container's life ${(othersMs / 1000).toFixed(1)} s\n`,
    );
    expect(exitCode).to.equal(0);
    expect(containers).to.have.length(2);
    expect(wrong(answers, "o")).to.deep.equal([]);
    for (const { verdict, code } of answers) {
      expect(verdict === "success" || code === "UNAVAILABLE", code).to.equal(true);
    }
    if (dockerCan) expect(count(answers, "success")).to.equal(together);
    // The command's own time, a minute in which Docker answers and is behind, and what two looks take.
    expect(slowest).to.be.below(70_000);
    expect(othersMs).to.be.below(20_000);
  });
});
