import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { busyboxFiles, imageArchive } from "../../scripts/image-archive.ts";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError, inspect, logPathOf, readCriLog, until } from "../support/containers.ts";
import { removeImagesOf } from "../support/images.ts";
import type { TestNode } from "../support/node.ts";
import {
  createContainer,
  hostSandboxConfig,
  numberedConfig,
  removePod,
  runPod,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { startRegistry } from "../support/registry.ts";
import { sharedPod } from "../support/shared-pod.ts";

// What people met with other runtimes, tried as they describe it.

const own = "field.test";
const { CONTAINER_RUNNING } = ContainerState;
const v1Devices = "/sys/fs/cgroup/devices";

describe("reports from the field", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;
  const config = numberedConfig("r");
  const load = async (reference: string): Promise<string> => {
    const files = [{ path: "f", content: reference }];
    await node.docker.loadImage(await imageArchive({ references: [reference], files }));
    return (await node.docker.inspectImage(reference)).Id;
  };
  const remove = (containerId: string): Promise<object> =>
    node.runtime.removeContainer({ containerId });

  before(() => {
    ({ node, pod } = shared);
  });
  afterEach(() => removeImagesOf(node, own));

  it("an image that was loaded and tagged by hand is found by its new name within 100 ms", async () => {
    const id = await load(`${own}/loaded:1`);
    await node.images.listImages({});
    for (let round = 0; round < 5; round += 1) {
      await node.docker.tagImage(id, `${own}/tagged`, `v${round}`);
      const begun = performance.now();
      const { image } = await node.images.imageStatus({
        image: { image: `${own}/tagged:v${round}` },
      });
      expect(image?.id).to.equal(id);
      expect(performance.now() - begun).to.be.below(1_000);
    }
    // Over a name that means another image.
    const other = await load(`${own}/other:1`);
    await node.docker.tagImage(other, `${own}/tagged`, "v0");
    await until(
      "the name means the other image",
      async () => {
        const { image } = await node.images.imageStatus({ image: { image: `${own}/tagged:v0` } });
        return image?.id === other;
      },
      2_000,
    );
  });

  it("an image pulled by tag and digest is known by its digest, and its tag is made up nowhere", async () => {
    const registry = await startRegistry();
    try {
      const pushed = await registry.push("some/both", ["1"], {
        files: [{ path: "f", content: "both" }],
      });
      const byDigest = `${registry.host}/some/both@${pushed.manifestDigest}`;
      const both = `${registry.host}/some/both:1@${pushed.manifestDigest}`;
      const statusOf = async (image: string) =>
        (await node.images.imageStatus({ image: { image } })).image;
      const { imageRef } = await node.images.pullImage({ image: { image: both } });
      for (const name of [both, byDigest])
        expect((await statusOf(name))?.id, name).to.equal(imageRef);
      expect((await statusOf(both))?.repoTags).to.deep.equal([]);
      expect((await statusOf(both))?.repoDigests).to.deep.equal([byDigest]);
      expect(await statusOf(`${registry.host}/some/both:1`)).to.equal(undefined);
      // A present tag does not make a wrong digest present.
      await node.images.pullImage({ image: { image: `${registry.host}/some/both:1` } });
      const wrong = `${registry.host}/some/both:1@sha256:${"0".repeat(64)}`;
      expect(await statusOf(wrong)).to.equal(undefined);
      const containerId = await createContainer(
        node,
        pod,
        config("x", { image: { image: imageRef, userSpecifiedImage: both } }),
      );
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.imageRef).to.equal(byDigest);
      await remove(containerId);
      await removeImagesOf(node, registry.host);
    } finally {
      await registry.close();
    }
  });

  it("a stop that is asked for again sends TERM once, and the first grace runs on", async () => {
    const one = config(
      "n=0; trap 'n=$((n+1)); echo TERM $n' TERM; echo up; while :; do sleep 0.1; done",
    );
    const containerId = await startContainer(node, pod, one);
    const lines = (): string[] => readCriLog(logPathOf(pod, one)).map(({ text }) => text);
    await until("it is up", () => lines().includes("up"));
    const begun = performance.now();
    // The kubelet's deadline: it goes away, and the next one asks again.
    const first = node.runtime
      .stopContainer({ containerId, timeout: 6n }, { timeoutMs: 1500 })
      .catch(() => "gone");
    expect(await first).to.equal("gone");
    await node.runtime.stopContainer({ containerId, timeout: 30n });
    expect((performance.now() - begun) / 1000).to.be.within(5, 15);
    expect(lines().filter((text) => text.startsWith("TERM"))).to.deep.equal(["TERM 1"]);
    await remove(containerId);
  });

  it("the status of a container survives its image, whose names are taken away by force", async () => {
    const reference = `${own}/going:1`;
    await node.docker.loadImage(
      await imageArchive({
        references: [reference],
        files: busyboxFiles(),
        config: { Env: ["PATH=/bin"] },
        salt: "going",
      }),
    );
    const containerId = await startContainer(
      node,
      pod,
      config("sleep 1000", { image: { image: reference } }),
    );
    const before = (await node.runtime.containerStatus({ containerId })).status;
    execFileSync("docker", ["-H", `unix://${node.upstream}`, "rmi", "-f", reference]);
    await until("the name is gone", async () => {
      const { image } = await node.images.imageStatus({ image: { image: reference } });
      return image === undefined;
    });
    const after = (await node.runtime.containerStatus({ containerId })).status;
    expect(after?.imageId).to.equal(before?.imageId);
    expect(after?.state).to.equal(CONTAINER_RUNNING);
    await remove(containerId);
  });

  it("annotations of 200 KiB come back whole, of pod and container", async () => {
    const annotations = { "example.com/big": "x".repeat(200 << 10) };
    const big = await runPod(node, hostSandboxConfig(node, { annotations }));
    const containerId = await createContainer(node, big, config("sleep 1000", { annotations }));
    await node.runtime.startContainer({ containerId });
    const { status } = await node.runtime.containerStatus({ containerId });
    expect(status?.annotations).to.deep.equal(annotations);
    const sandbox = await node.runtime.podSandboxStatus({ podSandboxId: big.podSandboxId });
    expect(sandbox.status?.annotations).to.deep.equal(annotations);
    await removePod(node, big);
  });

  it("labels beyond what one line of the event stream may hold end neither the stream nor the node", async () => {
    const annotations = { "example.com/huge": "y".repeat(5 << 20) };
    const outcome = await createContainer(node, pod, config("sleep 1000", { annotations })).then(
      (id) => ({ id, error: undefined }),
      (error: unknown) => ({ id: undefined, error: error as { code: number; details: string } }),
    );
    // Whatever became of it, others are seen to start and to end.
    const containerId = await startContainer(node, pod, config("sleep 1000"));
    await node.docker.killContainer(containerId, "KILL");
    await until("its end is seen", async () => {
      const { containers } = await node.runtime.listContainers({ filter: { id: containerId } });
      return containers[0]?.state === ContainerState.CONTAINER_EXITED;
    });
    await remove(containerId);
    if (outcome.id !== undefined) {
      await node.runtime.startContainer({ containerId: outcome.id });
      await node.docker.killContainer(outcome.id, "KILL");
      await until("the end of the one with huge labels is seen", async () => {
        const { status } = await node.runtime.containerStatus({ containerId: outcome.id });
        return status?.state === ContainerState.CONTAINER_EXITED;
      });
      await remove(outcome.id);
    }
  });

  it("5000 variables, and one beyond what the kernel takes, whose words reach the user", async () => {
    const envs = Array.from({ length: 5000 }, (_, at) => ({
      key: `V${at}`,
      value: Buffer.from(`${at}`),
    }));
    const many = await startContainer(node, pod, config("sleep 1000", { envs }));
    expect(await shell(node, many, "echo $V4999")).to.equal("4999");
    await remove(many);
    const one = [{ key: "BIG", value: Buffer.alloc(1 << 20, "z") }];
    const big = config("sleep 1000", { envs: one });
    const containerId = await createContainer(node, pod, big);
    // Some OCI runtimes say it to the start, others in the container's own output.
    const said = await node.runtime.startContainer({ containerId }).then(
      async () => {
        expect((await untilExited(node, containerId)).exitCode).to.not.equal(0);
        return readCriLog(logPathOf(pod, big))
          .map(({ text }) => text)
          .join();
      },
      (error: unknown) => (error as { details: string }).details,
    );
    expect(said).to.match(/argument list too long/i);
    await remove(containerId);
  });

  it("an update of the CPUs leaves devices alone that a hook has added", async function () {
    if (!existsSync(v1Devices)) this.skip();
    const containerId = await startContainer(node, pod, config("sleep 1000"));
    const { Pid } = (await inspect(node, containerId)).State;
    const path = /^\d+:devices:(.*)$/m.exec(readFileSync(`/proc/${Pid}/cgroup`, "utf8"))?.[1] ?? "";
    const folder = join(v1Devices, path);
    writeFileSync(join(folder, "devices.allow"), "c 10:229 rw");
    const before = readFileSync(join(folder, "devices.list"), "utf8");
    expect(before).to.include("c 10:229 rw");
    await node.runtime.updateContainerResources({ containerId, linux: { cpusetCpus: "0" } });
    await node.runtime.updateContainerResources({
      containerId,
      linux: { cpuShares: 512n, memoryLimitInBytes: 64n << 20n },
    });
    expect(readFileSync(join(folder, "devices.list"), "utf8")).to.equal(before);
    await remove(containerId);
  });

  it("CPUs that are not there are refused as an argument, and the status keeps telling what holds", async () => {
    const containerId = await startContainer(node, pod, config("sleep 1000"));
    const update = (cpusetCpus: string) =>
      node.runtime.updateContainerResources({ containerId, linux: { cpusetCpus } });
    await update("0");
    await expectError(update("0-4000"), "INVALID_ARGUMENT", /CPUs?|cpu/);
    const { status } = await node.runtime.containerStatus({ containerId });
    expect(status?.resources?.linux?.cpusetCpus).to.equal("0");
    await update("0-1");
    const again = await node.runtime.containerStatus({ containerId });
    expect(again.status?.resources?.linux?.cpusetCpus).to.equal("0-1");
    await remove(containerId);
  });
});
