import { mkdtempSync, rmdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { imageArchive } from "../../scripts/image-archive.ts";
import { NamespaceMode } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError } from "../support/containers.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { sharedPod } from "../support/shared-pod.ts";

describe("what a container to be made refers to", () => {
  const shared = sharedPod();
  let node: TestNode;

  before(() => {
    ({ node } = shared);
  });
  afterEach(() => {
    node.proxy.faults.clear();
  });

  /** The request reaches the engine when `vanish` is done, which begins when Dockline has sent it. */
  const createWhile = async (
    pod: RunningPod,
    config: ContainerInit,
    vanish: () => Promise<unknown>,
  ): Promise<string> => {
    let vanished: Promise<unknown> = Promise.resolve();
    node.proxy.faults.add({
      match: { method: "POST", route: /^\/containers\/create$/ },
      action: "delay",
      until: () => (vanished = vanish()),
      times: 1,
    });
    try {
      return await createContainer(node, pod, config);
    } finally {
      await vanished;
    }
  };
  const load = async (reference: string): Promise<void> => {
    const files = [{ path: "f", content: reference }];
    await node.docker.loadImage(await imageArchive({ references: [reference], files }));
  };

  it("is named when the image vanishes meanwhile", async () => {
    const image = "missing.test/image:1";
    await load(image);
    await expectError(
      createWhile(shared.pod, containerConfig("x", { image: { image } }), () =>
        node.docker.removeImage(image),
      ),
      "NOT_FOUND",
      /no image missing\.test\/image:1 on this node/,
    );
  });

  it("is a mount's host path when that vanishes meanwhile", async () => {
    const real = mkdtempSync(join(node.folder, "vanishing-"));
    const link = `${real}-link`;
    symlinkSync(real, link);
    const mounts = [
      { hostPath: "/etc", containerPath: "/v" },
      { hostPath: link, containerPath: "/w" },
    ];
    const vanish = (): Promise<void> => {
      rmdirSync(real);
      return Promise.resolve();
    };
    await expectError(
      createWhile(shared.pod, containerConfig("x", { mounts }), vanish),
      "FAILED_PRECONDITION",
      new RegExp(`mounts\\[1\\]\\.host_path: "${link}": ENOENT: no such file or directory`),
    );
  });

  it("is the pod sandbox when that vanishes meanwhile", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const { podSandboxId } = pod;
    await expectError(
      createWhile(pod, containerConfig("x"), () => node.docker.removeContainer(podSandboxId)),
      "NOT_FOUND",
      new RegExp(`pod sandbox ${podSandboxId} is gone`),
    );
    await removePod(node, pod);
  });

  it("is the container to debug when that vanishes meanwhile", async () => {
    const { pod } = shared;
    const targetId = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", { metadata: { name: "target" } }),
    );
    const namespaceOptions = { pid: NamespaceMode.TARGET, targetId };
    await expectError(
      createWhile(
        pod,
        containerConfig("x", { linux: { securityContext: { namespaceOptions } } }),
        () => node.docker.removeContainer(targetId),
      ),
      "FAILED_PRECONDITION",
      new RegExp(`container to debug, ${targetId}, is gone`),
    );
    await node.runtime.removeContainer({ containerId: targetId });
  });
});
