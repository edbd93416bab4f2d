import { expect } from "chai";
import { expectError, logPathOf, logText, readCriLog, until } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  removeAllPods,
  sandboxConfig,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";

// Needs gVisor's runsc: test/lanes/runsc builds it.

const runsc = process.env["DOCKLINE_TEST_RUNSC"];
const runtimeArgs = ["--platform=systrap", "--ignore-cgroups"];

describe("a RuntimeClass of gVisor", function () {
  this.timeout(180_000);
  let engine: PrivateEngine;
  let node: TestNode;

  before(async function () {
    if (runsc === undefined) this.skip();
    engine = await startPrivateEngine([], {
      runtimes: {
        gvisor: { path: runsc, runtimeArgs },
        "gvisor-host": { path: runsc, runtimeArgs: [...runtimeArgs, "--network=host"] },
      },
    });
    node = await startNode({ upstream: engine.socketPath });
  });
  after(async () => {
    await (node as TestNode | undefined)?.close();
    await (engine as PrivateEngine | undefined)?.remove();
  });
  afterEach(() => removeAllPods(node));

  const run = async (runtimeHandler: string) => {
    const sandbox = sandboxConfig(node);
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: sandbox, runtimeHandler });
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId });
    return { podSandboxId, sandbox, ip: status?.network?.ip ?? "" };
  };

  const addresses = "ip addr; dmesg | head -1; exec sleep 1000";
  const outputOf = async (pod: Awaited<ReturnType<typeof run>>, name: string, attempt = 0) => {
    const config = containerConfig(addresses, { metadata: { name, attempt } });
    const id = await startContainer(node, pod, config);
    const output = (): string => logText(readCriLog(logPathOf(pod, config)));
    await until("it printed", () => output().includes("gVisor"));
    return { id, text: output() };
  };

  it("runs a pod of one container, with its address, logs, exec and stop", async () => {
    const pod = await run("gvisor");
    expect(pod.ip).to.match(/^\d+\./);
    const { id, text } = await outputOf(pod, "main");
    expect(text).to.include(`inet ${pod.ip}/`).and.include("Starting gVisor");
    expect(await shell(node, id, "cat /proc/1/comm; echo hi")).to.match(/sleep\nhi$/);
    await node.runtime.stopContainer({ containerId: id, timeout: 1n });
    // In gVisor a first process has no shield against signals.
    expect((await untilExited(node, id)).exitCode).to.be.oneOf([137, 143]);
  });

  it("refuses what would start without the pod's network", async () => {
    const pod = await run("gvisor");
    const { id } = await outputOf(pod, "main");
    const reason = /taken the pod's addresses.*--network=host/;
    await expectError(outputOf(pod, "side"), "FAILED_PRECONDITION", reason);
    await node.runtime.stopContainer({ containerId: id, timeout: 0n });
    await expectError(outputOf(pod, "main", 1), "FAILED_PRECONDITION", reason);
  });

  it("runs pods of more containers, and starts them again, with --network=host", async () => {
    const pod = await run("gvisor-host");
    const first = await outputOf(pod, "main");
    const second = await outputOf(pod, "side");
    await node.runtime.stopContainer({ containerId: first.id, timeout: 0n });
    const again = await outputOf(pod, "main", 1);
    for (const { text } of [first, second, again]) expect(text).to.include(`inet ${pod.ip}/`);
    expect(await shell(node, second.id, "echo hi")).to.equal("hi");
  });
});
