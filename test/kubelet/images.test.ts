import { execFileSync } from "node:child_process";
import { expect } from "chai";
import { busyboxFiles } from "../../scripts/image-archive.ts";
import { engineSocket } from "../support/node.ts";
import { startRegistry } from "../support/registry.ts";
import type { TestRegistry } from "../support/registry.ts";
import { busybox } from "../support/test-images.ts";
import { startKubeletNode } from "./kubelet-node.ts";
import type { KubeletNode } from "./kubelet-node.ts";
import { idle, sh, staticPod, within } from "./rig.ts";

/** The kubelet frees a disk that it takes for full: it removes what no container uses. */
describe("a kubelet's image garbage collection", function () {
  this.timeout(120_000);
  let rig: KubeletNode;
  let registry: TestRegistry;
  const image = (name: string): string => `${registry.host}/${name}:1`;

  before(async function () {
    this.timeout(600_000);
    registry = await startRegistry();
    rig = await startKubeletNode({
      port: 10_430,
      // From its second look on: an image that a pod is about to use stays.
      settings: ["imageMinimumGCAge:8s"],
      // No disk is that empty: pressure from the first look on. Static pods are never evicted.
      args: ["--eviction-hard=nodefs.available<99.99%,memory.available<0%"],
      // The tests' own images on this engine were loaded.
      docklineArgs: ["--pin-local-images", `--pinned-images=${image("pinned")}`],
    });
    for (const name of ["used", "unused", "pinned"]) {
      await registry.push(name, ["1"], {
        files: busyboxFiles(),
        config: {
          Env: ["PATH=/bin"],
          Cmd: ["sh"],
        },
        salt: `gc ${name} ${process.pid}`,
      });
      await rig.node.images.pullImage({ image: { image: image(name) } });
    }
    rig.kubelet.addPod(
      "user",
      staticPod("user", { containers: [sh("main", idle, { image: image("used") })] }),
    );
  });
  after(async function () {
    this.timeout(60_000);
    await rig.close();
    await registry.close();
    const left = ["used", "pinned"].map(image);
    execFileSync("docker", ["-H", `unix://${engineSocket}`, "rmi", ...left], { stdio: "ignore" });
  });

  it("takes what nobody uses, and leaves what is in use, pinned by name, or local and pinned for that", async () => {
    await rig.kubelet.ready("user");
    const names = async (): Promise<string[]> => {
      const { images } = await rig.node.images.listImages({});
      return images.flatMap(({ repoTags }) => repoTags);
    };
    const left = await within(90_000, "removal of the unused image", async () => {
      const found = await names();
      return found.includes(image("unused")) ? undefined : found;
    });
    expect(left).to.include.members([image("used"), image("pinned"), busybox]);
    const { images } = await rig.node.images.listImages({});
    expect(images.filter(({ pinned }) => pinned).flatMap(({ repoTags }) => repoTags)).to.include(
      "registry.k8s.io/pause:3.10.2",
    );
    expect(await rig.kubelet.container("user", "main")).to.include({ restartCount: 0 });
  });
});
