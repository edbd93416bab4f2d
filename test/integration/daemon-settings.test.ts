import { readFileSync } from "node:fs";
import { expect } from "chai";
import { procStatus, runToEnd, withContainer } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removeAllPods,
  runPod,
  shell,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";

/** What an operator may have set for all containers must not reach a pod's. */
describe("an engine with settings of its own for every container", function () {
  this.timeout(120_000);
  let engine: PrivateEngine;
  let node: TestNode;
  let pod: RunningPod;

  before(async () => {
    engine = await startPrivateEngine([], {
      init: true,
      "no-new-privileges": true,
      "default-shm-size": "1m",
      "default-ulimits": {
        nofile: { Name: "nofile", Soft: 64, Hard: 128 },
        core: { Name: "core", Soft: 0, Hard: 0 },
        stack: { Name: "stack", Soft: 4194304, Hard: 4194304 },
      },
      "log-driver": "json-file",
      "log-opts": {
        mode: "non-blocking",
        "max-buffer-size": "1k",
        "max-size": "1k",
        compress: "true",
        "max-file": "2",
        tag: "{{.ID}}",
        labels: "io.kubernetes.pod.name",
      },
    });
    node = await startNode({ withoutNetwork: true, upstream: engine.socketPath });
    pod = await runPod(node, hostSandboxConfig(node));
  });
  after(async () => {
    await removeAllPods(node);
    await node.close();
    await engine.remove();
  });

  it("gives pods the limits that the runtime itself has", async () => {
    await withContainer(node, pod, containerConfig("sleep 1000"), async (containerId) => {
      const { State, HostConfig } = await node.docker.inspectContainer(containerId);
      const limits = (pid: number): Map<string, string> =>
        new Map(
          readFileSync(`/proc/${pid}/limits`, "utf8")
            .split("\n")
            .map((line) => [line.slice(0, 26).trim(), line.slice(26).replace(/\s+/g, " ")]),
        );
      const own = limits(Number(procStatus(State.Pid, "PPid")));
      const found = limits(State.Pid);
      for (const name of ["Max open files", "Max core file size", "Max stack size"]) {
        expect(found.get(name), name).to.equal(own.get(name));
      }
      expect(HostConfig.Ulimits?.map(({ Name }) => Name).sort()).to.deep.equal([
        "core",
        "nofile",
        "stack",
      ]);
      expect(await shell(node, containerId, "ulimit -n")).to.not.equal("64");
    });
  });

  it("starts the container's own process as its first, free to gain privileges", async () => {
    await withContainer(node, pod, containerConfig("sleep 1000"), async (containerId) => {
      expect(await shell(node, containerId, "cat /proc/1/comm")).to.match(/^(sh|sleep)$/);
      const { State } = await node.docker.inspectContainer(containerId);
      expect(procStatus(State.Pid, "NoNewPrivs")).to.equal("0");
      expect(await shell(node, containerId, "df -k /dev/shm | awk 'END { print $2 }'")).to.equal(
        "65536",
      );
    });
    const strict = containerConfig("sleep 1000", {
      linux: { resources: {}, securityContext: { noNewPrivs: true } },
    });
    await withContainer(node, pod, strict, async (containerId) => {
      const { State } = await node.docker.inspectContainer(containerId);
      expect(procStatus(State.Pid, "NoNewPrivs")).to.equal("1");
    });
  });

  it("loses no line of a log", async () => {
    const lines = 20_000;
    const { out } = await runToEnd(
      node,
      pod,
      containerConfig(`i=0; while [ $i -lt ${lines} ]; do echo line $i; i=$((i+1)); done`),
    );
    const expected = Array.from({ length: lines }, (_, at) => `line ${at}\n`).join("");
    expect(out === expected, `${out.split("\n").length - 1} lines`).to.equal(true);
  });
});
