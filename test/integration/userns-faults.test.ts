import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { chmodSync, copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { expectError, until } from "../support/containers.ts";
import { docklineOci } from "../support/oci-engine.ts";
import {
  expectNoEdits,
  inUserns,
  startUsernsNode,
  usernsPod,
  type UsernsNode,
} from "../support/oci-node.ts";
import {
  containerConfig,
  createContainer,
  removePod,
  runPod,
  shell,
  startContainer,
} from "../support/pods.ts";

// Needs runc 1.2 or newer (DOCKLINE_TEST_RUNC, or installed).

describe("a pod with a user namespace, when something fails", function () {
  this.timeout(120_000);
  let oci: UsernsNode;

  before(async function () {
    const started = await startUsernsNode();
    if (started === undefined) return this.skip();
    oci = started;
  });
  after(async () => {
    await (oci as UsernsNode | undefined)?.close();
  });
  afterEach(() => expectNoEdits(oci));

  const pidOf = async (id: string): Promise<number> =>
    (await oci.node.docker.inspectContainer(id)).State.Pid;
  const sleeper = () => containerConfig("sleep 1000", { linux: inUserns() });

  it("starts though Dockline was killed between the edits and the start", async () => {
    const { node } = oci;
    const pod = await runPod(node, usernsPod(node));
    const id = await createContainer(node, pod, sleeper());
    await node.kill();
    await node.start({ DOCKLINE_FAILPOINT: "start.after-edits" });
    await node.runtime.startContainer({ containerId: id }).catch(() => undefined);
    await node.ended();
    expect(existsSync(`${oci.edits}/${id}.json`)).to.equal(true);
    await node.start();
    await node.runtime.startContainer({ containerId: id });
    expect(await shell(node, id, "id -u; stat -c %u /")).to.equal("0\n0");
  });

  it("can be removed, and recreated, though Dockline was killed before the pause's start", async () => {
    const { node } = oci;
    const config = usernsPod(node);
    await node.kill();
    await node.start({ DOCKLINE_FAILPOINT: "run.after-edits" });
    await runPod(node, config).catch(() => undefined);
    await node.ended();
    await node.start();
    const { items } = await node.runtime.listPodSandbox({});
    const [left, ...others] = items.filter(
      ({ metadata }) => metadata?.uid === config.metadata?.uid,
    );
    expect(others).to.deep.equal([]);
    expect(left?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    expect(existsSync(`${oci.edits}/${left?.id}.json`)).to.equal(true);
    await removePod(node, { podSandboxId: left?.id ?? "" });
    const id = await startContainer(node, await runPod(node, config), sleeper());
    expect(await shell(node, id, "id -u; stat -c %u /")).to.equal("0\n0");
  });

  it("starts though the engine was killed between the create and the start", async () => {
    const { node } = oci;
    const pod = await runPod(node, usernsPod(node));
    const id = await createContainer(node, pod, sleeper());
    await oci.engine.crash();
    await until("Dockline sees the engine again", async () => {
      const { status } = await node.runtime.status({});
      return status?.conditions.find(({ type }) => type === "RuntimeReady")?.status === true;
    });
    expect((await node.docker.inspectContainer(pod.podSandboxId)).State.Running).to.equal(true);
    await node.runtime.startContainer({ containerId: id });
    expect(await shell(node, id, "id -u; stat -c %u /")).to.equal("0\n0");
  });

  it("writes the edits again for each start, whatever became of the file", async () => {
    const { node } = oci;
    const pod = await runPod(node, usernsPod(node));
    const id = await createContainer(node, pod, sleeper());
    writeFileSync(`${oci.edits}/${id}.json`, '{"v":1,"contain', { mode: 0o600 });
    expect(oci.engine.dockerFails("start", id)).to.contain("not valid JSON");
    await node.runtime.startContainer({ containerId: id });
    expect(await shell(node, id, "id -u")).to.equal("0");
    const written = JSON.parse(readFileSync(`${oci.edits}/${id}.json`, "utf8")) as {
      userNamespace: { join: { pid: number } };
    };
    const { join } = written.userNamespace;
    expect(join.pid).to.equal(await pidOf(pod.podSandboxId));
  });

  it("fails with a sentence while the program is gone, and starts once it is back", async () => {
    const { node } = oci;
    const pod = await runPod(node, usernsPod(node));
    const id = await createContainer(node, pod, sleeper());
    rmSync(oci.program);
    await expectError(
      node.runtime.startContainer({ containerId: id }),
      "INTERNAL",
      /not found|no such file/i,
    );
    expect((await node.docker.inspectContainer(id)).State.Running).to.equal(false);
    copyFileSync(docklineOci, oci.program);
    chmodSync(oci.program, 0o755);
    await node.runtime.startContainer({ containerId: id });
    expect(await shell(node, id, "id -u")).to.equal("0");
  });

  it("starts no member once the pause container has ended", async () => {
    const { node } = oci;
    const pod = await runPod(node, usernsPod(node));
    const id = await createContainer(node, pod, sleeper());
    oci.engine.docker("kill", pod.podSandboxId);
    await expectError(
      node.runtime.startContainer({ containerId: id }),
      "FAILED_PRECONDITION",
      /is not running/,
    );
  });

  it("leaves no edits of containers that vanish while Dockline is away", async () => {
    const { node } = oci;
    const pod = await runPod(node, usernsPod(node));
    const id = await startContainer(node, pod, sleeper());
    await node.kill();
    oci.engine.docker("rm", "-f", id);
    expect(existsSync(`${oci.edits}/${id}.json`)).to.equal(true);
    await node.start();
    await until("swept", () => !existsSync(`${oci.edits}/${id}.json`));
    expect(existsSync(`${oci.edits}/${pod.podSandboxId}.json`)).to.equal(true);
    await removePod(node, pod);
  });
});
