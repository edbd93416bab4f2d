import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { removeImagesOf } from "../support/images.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import { hostSandboxConfig, removePod, runPod, sandboxConfig } from "../support/pods.ts";
import { freePort, startRegistry } from "../support/registry.ts";

describe("the pause image", () => {
  describe("of a registry that is away", () => {
    let node: TestNode;
    let reference: string;
    let start: NodeState;
    before(async () => {
      reference = `127.0.0.1:${await freePort()}/mirror/pause:3.10.2`;
      node = await startNode({ args: [`--pod-infra-container-image=${reference}`] });
    });
    after(async () => {
      await removeImagesOf(node, reference.split("/")[0] ?? "");
      await node.close();
    });
    beforeEach(() => {
      start = nodeState(node);
      node.proxy.reset();
    });
    afterEach(async () => {
      await expectNothingLeft(node, start);
    });

    it("is the embedded one, loaded once for many pods, used, and pinned", async () => {
      const pods = await Promise.all([1, 2, 3].map(() => runPod(node, hostSandboxConfig(node))));
      expect(node.proxy.count(/^POST \/images\/load$/)).to.equal(1);
      const { Id, RepoTags } = await node.docker.inspectImage(reference);
      expect(RepoTags).to.include(reference);
      for (const { podSandboxId } of pods) {
        const sandbox = await node.docker.inspectContainer(podSandboxId);
        expect(sandbox.Image).to.equal(Id);
        expect(sandbox.Config.Image).to.equal(reference);
        expect(sandbox.Path).to.equal("/pause");
        expect(sandbox.State.Running).to.equal(true);
      }
      const { image } = await node.images.imageStatus({ image: { image: reference } });
      expect(image).to.include({ id: Id, pinned: true });
      expect(image?.uid?.value).to.equal(65535n);
      for (const pod of pods) await removePod(node, pod);
    });

    it("is loaded again, the same, when somebody has removed it", async () => {
      const before = await node.docker.inspectImage(reference);
      await node.images.removeImage({ image: { image: reference } });
      const pod = await runPod(node, sandboxConfig(node));
      const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
      expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
      expect((await node.docker.inspectImage(reference)).Id).to.equal(before.Id);
      await removePod(node, pod);
    });

    it("ends by itself within a second of SIGTERM", async () => {
      const pod = await runPod(node, hostSandboxConfig(node));
      const begun = performance.now();
      await node.docker.stopContainer(pod.podSandboxId, 10);
      expect(performance.now() - begun).to.be.below(3000);
      await removePod(node, pod);
    });
  });

  describe("that a registry has", () => {
    it("is pulled from there", async () => {
      const registry = await startRegistry();
      const reference = `${registry.host}/mirror/pause:1`;
      const node = await startNode({
        withoutNetwork: true,
        args: [`--pod-infra-container-image=${reference}`],
      });
      try {
        const { busyboxFiles } = await import("../../scripts/image-archive.ts");
        await registry.push("mirror/pause", ["1"], {
          files: busyboxFiles(),
          config: { Entrypoint: ["/bin/sleep", "1000"] },
        });
        const pod = await runPod(node, hostSandboxConfig(node));
        const sandbox = await node.docker.inspectContainer(pod.podSandboxId);
        expect(sandbox.Path).to.equal("/bin/sleep");
        expect(node.proxy.count(/^POST \/images\/(load)$/)).to.equal(0);
        await removePod(node, pod);
      } finally {
        await removeImagesOf(node, registry.host);
        await registry.close();
        await node.close();
      }
    });

    it("is never replaced when it is named by digest", async () => {
      const digest = `sha256:${"1".repeat(64)}`;
      const reference = `127.0.0.1:${await freePort()}/mirror/pause@${digest}`;
      const node = await startNode({
        withoutNetwork: true,
        args: [`--pod-infra-container-image=${reference}`],
      });
      try {
        let message = "";
        await runPod(node, hostSandboxConfig(node)).catch((error: unknown) => {
          message = (error as Error).message;
        });
        expect(message).to.include("RegistryUnavailable");
        expect((await node.docker.listContainers(["io.kubernetes.docker.type"])).length).to.equal(
          0,
        );
        expect((await node.runtime.listPodSandbox({})).items).to.deep.equal([]);
      } finally {
        await node.close();
      }
    });
  });
});
