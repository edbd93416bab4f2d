import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { passes } from "../support/pass-rule.ts";
import {
  containerConfig,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";
import { rpcFailure } from "../support/rpc-failure.ts";
import { until } from "../support/until.ts";

/** A cgroup for Dockline alone; on v1 of one controller, on v2 of all. */
function limitCgroup(
  controller: string,
  pid: number,
): { set(key: string, value: string): void; read(key: string): string; remove(): void } {
  const unified = existsSync("/sys/fs/cgroup/cgroup.controllers");
  const parent = unified ? "/sys/fs/cgroup" : `/sys/fs/cgroup/${controller}`;
  if (unified) writeFileSync(join(parent, "cgroup.subtree_control"), `+${controller}`);
  const folder = join(parent, `dockline-limit-${pid}`);
  mkdirSync(folder);
  writeFileSync(join(folder, "cgroup.procs"), String(pid));
  return {
    set: (key, value) => writeFileSync(join(folder, key), value),
    read: (key) => readFileSync(join(folder, key), "utf8").trim(),
    remove: () => {
      for (const each of readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n")) {
        if (each !== "") writeFileSync(join(parent, "cgroup.procs"), each);
      }
      rmdirSync(folder);
    },
  };
}

describe("limits of Dockline's own process", function () {
  this.timeout(120_000);
  let node: TestNode;

  before(async () => {
    node = await startNode();
  });
  after(async () => {
    await node.close();
  });

  it("F28: without free descriptors refuses new work and heals when there are some", async () => {
    const pod = await runPod(node);
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    await passes(node, async () => {
      const limit = (count: number): void => {
        execFileSync("prlimit", ["--pid", String(node.pid), `--nofile=${count}:`]);
      };
      const before = /Max open files\s+(\d+)/.exec(
        readFileSync(`/proc/${node.pid}/limits`, "utf8"),
      )?.[1];
      // Below what is open: no new descriptor at all.
      limit(16);
      let refused: string[];
      try {
        const calls = Array.from({ length: 40 }, () =>
          node.runtime.execSync({ containerId, cmd: ["sleep", "1"], timeout: 10n }).then(
            () => "OK",
            () => "refused",
          ),
        );
        refused = (await Promise.all(calls)).filter((each) => each === "refused");
        const error = await rpcFailure(
          Promise.all(
            Array.from({ length: 6 }, () =>
              node.runtime.runPodSandbox({ config: sandboxConfig(node) }),
            ),
          ),
        );
        expect(error.code, error.details).to.be.oneOf(["RESOURCE_EXHAUSTED", "UNAVAILABLE"]);
        expect(error.details).to.match(/EMFILE|too many open files/i);
      } finally {
        limit(Number(before));
      }
      expect(refused.length, "execs refused").to.be.greaterThan(0);
      await until(async () => {
        const answer = await node.runtime
          .execSync({ containerId, cmd: ["true"], timeout: 5n })
          .catch(() => undefined);
        return answer?.exitCode === 0;
      });
      await removePod(node, await runPod(node));
    });
  });

  it("F28: without a free process id fails to call plugins, and heals when there are some", async () => {
    await passes(node, async () => {
      const cgroup = limitCgroup("pids", node.pid);
      try {
        cgroup.set("pids.max", cgroup.read("pids.current"));
        const error = await rpcFailure(node.runtime.runPodSandbox({ config: sandboxConfig(node) }));
        expect(error.details).to.match(/EAGAIN|resource temporarily unavailable/i);
        expect(error.code, error.details).to.equal("RESOURCE_EXHAUSTED");
        cgroup.set("pids.max", "max");
        // Neither ADD nor DEL could run: it is listed NOTREADY, and a kubelet has it removed.
        const { items } = await node.runtime.listPodSandbox({
          filter: { state: { state: PodSandboxState.SANDBOX_NOTREADY } },
        });
        expect(items).to.have.length(1);
        await removePod(node, { podSandboxId: items[0]?.id ?? "" });
        await removePod(node, await runPod(node));
      } finally {
        cgroup.set("pids.max", "max");
        cgroup.remove();
      }
    });
  });

  it("F28: lives with 150 MB of memory under a load of pods, execs and their output", async () => {
    await passes(node, async () => {
      const cgroup = limitCgroup("memory", node.pid);
      const key = existsSync("/sys/fs/cgroup/cgroup.controllers")
        ? "memory.max"
        : "memory.limit_in_bytes";
      const unlimited = key === "memory.max" ? "max" : "-1";
      try {
        cgroup.set(key, String(150 << 20));
        const pods = await Promise.all(Array.from({ length: 10 }, () => runPod(node)));
        const ids = await Promise.all(
          pods.map((pod) => startContainer(node, pod, containerConfig("sleep 1000"))),
        );
        const answers = await Promise.all(
          ids.map((containerId) =>
            node.runtime.execSync({
              containerId,
              cmd: ["sh", "-c", "head -c 400000 /dev/zero; exit 3"],
              timeout: 30n,
            }),
          ),
        );
        expect(answers.map(({ exitCode }) => exitCode)).to.deep.equal(ids.map(() => 3));
        expect(answers.every(({ stdout }) => stdout.length === 400_000)).to.equal(true);
        for (const pod of pods) await removePod(node, pod);
      } finally {
        cgroup.set(key, unlimited);
        cgroup.remove();
      }
    });
  });
});
