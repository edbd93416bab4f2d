import { expect } from "chai";
import { busyboxFiles, imageArchive } from "../../scripts/image-archive.ts";
import { SupplementalGroupsPolicy } from "../../src/gen/runtime/v1/api_pb.js";
import type { SecurityInit } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  untilExited,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";

const files = [
  ...busyboxFiles().filter(({ path }) => !/^etc\/(?:passwd|group)$/.test(path)),
  { path: "etc/passwd", content: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n" },
  { path: "etc/group", content: "root:x:0:\nwheel:x:10:root\napp:x:1000:\nextra:x:2000:app\n" },
];
const image = `dockline.test/ended-${process.pid}:1`;

describe("the user of a container that ended before anybody could read its OCI spec", function () {
  this.timeout(60_000);
  let node: TestNode;
  let pod: RunningPod;

  before(async () => {
    node = await startNode({ withoutNetwork: true });
    await node.docker.loadImage(
      await imageArchive({
        references: [image],
        files,
        config: { Env: ["PATH=/bin"], Cmd: ["sh"] },
        salt: image,
      }),
    );
    pod = await runPod(node, hostSandboxConfig(node));
  });
  after(async () => {
    await removePod(node, pod);
    await node.docker.removeImage(image, { force: true });
    await node.close();
  });

  for (const [what, security, expected] of [
    ["root", { supplementalGroups: [50001n] }, ["0", "0", "0 10 50001"]],
    ["a user by number", { runAsUser: { value: 1000n } }, ["1000", "1000", "1000 2000"]],
    [
      "root with policy Strict",
      { supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict },
      ["0", "0", "0"],
    ],
  ] as [string, SecurityInit, [string, string, string]][]) {
    it(`is what Docker made of the image's files: ${what}`, async () => {
      const config = containerConfig("true", {
        metadata: { name: what.replaceAll(/[^a-z]/g, "-") },
        image: { image },
        linux: { resources: {}, securityContext: security },
      });
      const containerId = await createContainer(node, pod, config);
      try {
        // Behind Dockline's back: only this way it is certain that it reads no bundle.
        await node.docker.startContainer(containerId);
        for (let running = true; running;) {
          ({ Running: running } = (await node.docker.inspectContainer(containerId)).State);
        }
        await untilExited(node, containerId);
        const { status } = await node.runtime.containerStatus({ containerId });
        const { uid, gid, supplementalGroups } = status?.user?.linux ?? {};
        const groups = (supplementalGroups ?? []).map(Number).sort((a, b) => a - b);
        expect([String(uid), String(gid), groups.join(" ")]).to.deep.equal(expected);
        const pods = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
        expect(pods.containersStatuses.find(({ id }) => id === containerId)?.user).to.deep.equal(
          status?.user,
        );
      } finally {
        await node.runtime.removeContainer({ containerId });
      }
    });
  }
});
