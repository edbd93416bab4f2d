import { join } from "node:path";
import { expect } from "chai";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { TermMarks, markTerm } from "../support/term-marks.ts";
import { until } from "../support/until.ts";

/** More than any lane to Docker once had places; `npm run bench -- drain` takes a whole node's. */
const many = Number(process.env["DOCKLINE_TEST_STOPS"] ?? "90");
const graceSeconds = 40;

describe("a drain: all containers of a node are stopped at once", function () {
  this.timeout(600_000);
  let node: TestNode;
  let pod: RunningPod;
  const pods: RunningPod[] = [];
  before(async () => {
    node = await startNode({ withoutNetwork: true });
    pod = await runPod(node, hostSandboxConfig(node));
    pods.push(pod);
  });
  after(async () => {
    for (const each of pods) await removePod(node, each);
    await node.close();
  });

  it("brings TERM to the last one while all of them wait, and holds up nothing else", async () => {
    const marks = new TermMarks(join(node.folder, "marks"));
    const ids: string[] = [];
    for (let at = 0; at < many; at += 5) {
      const home = await runPod(node, hostSandboxConfig(node));
      pods.push(home);
      const five = Array.from({ length: 5 }, (_, n) => {
        const name = `c${at + n}`;
        const mounts = [{ hostPath: marks.folder, containerPath: "/marks" }];
        const config = containerConfig(markTerm(name), { metadata: { name }, mounts, logPath: "" });
        return startContainer(node, home, config);
      });
      ids.push(...(await Promise.all(five)));
    }
    const other = await startContainer(
      node,
      pod,
      containerConfig("while :; do sleep 1; done", { metadata: { name: "other" } }),
    );
    await until(() => marks.up === many, 60_000, "all are up");

    let ended = 0;
    const stops = ids.map(async (containerId) => {
      await node.runtime.stopContainer({ containerId, timeout: BigInt(graceSeconds) });
      ended += 1;
    });
    await until(() => marks.terms.length === many, 30_000, "the last one has its TERM");
    expect(ended, "stops that were over by then").to.equal(0);

    const answer = await node.runtime.execSync({ containerId: other, cmd: ["true"], timeout: 20n });
    expect(answer.exitCode).to.equal(0);
    const fresh = containerConfig("true", { metadata: { name: "fresh" } });
    const containerId = await createContainer(node, pod, fresh);
    await node.runtime.startContainer({ containerId });
    await node.runtime.listContainers({});
    await node.runtime.status({});
    expect(ended, "stops that something else waited for").to.equal(0);

    // One whose grace is cut short, then all of them.
    const [first = ""] = ids;
    await node.runtime.stopContainer({ containerId: first, timeout: 1n });
    const { status } = await node.runtime.containerStatus({ containerId: first });
    expect(status?.state).to.equal(ContainerState.CONTAINER_EXITED);
    expect(ended, "stops that ended with it").to.be.at.most(1);
    await Promise.all(
      ids.map((id) => node.runtime.stopContainer({ containerId: id, timeout: 0n })),
    );
    await Promise.all(stops);
  });
});
