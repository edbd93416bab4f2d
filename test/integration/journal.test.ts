import { expect } from "chai";
import { until } from "../support/until.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";

describe("the journal of a node with a pod", () => {
  let node: TestNode;
  before(async () => {
    node = await startNode();
  });
  after(async () => {
    await node.close();
  });

  const lines = (): Record<string, unknown>[] =>
    node
      .log()
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const said = (msg: string): Record<string, unknown>[] =>
    lines().filter((line) => line["msg"] === msg);

  it("finds every call of a pod by its name or its full id, and no secret of it", async () => {
    const metadata = { name: "journal", namespace: "test", uid: "journal-uid", attempt: 0 };
    const config = sandboxConfig(node, {
      metadata,
      annotations: { note: "hunter2-annotation" },
    });
    const pod = await runPod(node, config);
    const one = containerConfig("sleep 1000", {
      metadata: { name: "main" },
      envs: [{ key: "PASSWORD", value: Buffer.from("hunter2-environment") }],
    });
    const containerId = await startContainer(node, pod, one);
    await node.runtime.stopContainer({ containerId, timeout: 0n });
    await node.runtime.removeContainer({ containerId });
    await removePod(node, pod);
    const { podSandboxId: podId } = pod;
    const names = { pod: "journal", namespace: "test" };
    await until(() => said("call").some(({ rpc }) => rpc === "RemovePodSandbox"));
    const of = (rpc: string) => said("call").find((line) => line["rpc"] === rpc);
    for (const rpc of ["RunPodSandbox", "StopPodSandbox", "RemovePodSandbox"]) {
      expect(of(rpc), rpc).to.include({ level: "info", podId, ...names });
    }
    for (const rpc of ["CreateContainer", "StartContainer", "StopContainer", "RemoveContainer"]) {
      expect(of(rpc), rpc).to.include({ containerId, podId, container: "main", ...names });
    }
    const plugins = said("CNI plugin");
    expect(plugins.map(({ verb }) => verb)).to.include.members(["ADD", "DEL"]);
    for (const plugin of plugins.filter(({ verb }) => verb !== "VERSION" && verb !== "STATUS")) {
      expect(plugin).to.include({ level: "debug", podId });
    }
    const requests = said("Docker request").filter(({ request }) =>
      String(request).startsWith("POST /containers/create"),
    );
    expect(requests.length).to.be.at.least(2);
    expect(requests[0]).to.include({ status: 201, ...names });
    expect(node.log()).not.to.match(/hunter2/);
  });

  it("has a debug line alone for a status of what is gone", async () => {
    const containerId = "d".repeat(64);
    await node.runtime.containerStatus({ containerId }).catch(() => undefined);
    const found = () => lines().filter((line) => line["containerId"] === containerId);
    await until(() => found().length > 0);
    expect(found().map(({ level, code }) => [level, code])).to.deep.equal([["debug", "NOT_FOUND"]]);
  });

  it("says that it serves, that it is up and that it is ready, in this order", async () => {
    await until(() => said("dockline is ready: pods can be started").length > 0);
    const order = [/is starting/, /^serving the CRI$/, /^dockline is up/, /^dockline is ready/];
    const at = order.map((msg) => lines().findIndex((line) => msg.test(String(line["msg"]))));
    expect(at).to.deep.equal([...at].sort((a, b) => a - b));
    expect(at).not.to.include(-1);
  });
});
