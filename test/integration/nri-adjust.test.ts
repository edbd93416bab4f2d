import { expect } from "chai";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nriSocket } from "../support/node.ts";
import { TestPlugin } from "../support/nri-plugin.ts";
import { startOciNode, type OciNode } from "../support/oci-node.ts";
import { leavesNothing } from "../support/oracle.ts";
import {
  createContainer,
  hostSandboxConfig,
  numberedConfig,
  removePod,
  runPod,
  shell,
} from "../support/pods.ts";

const containerConfig = numberedConfig("a");

describe("adjustments of NRI plugins", () => {
  let oci: OciNode;
  before(async () => {
    oci = await startOciNode({ dockline: [] });
  });
  after(async () => {
    await oci.close();
  });
  leavesNothing(() => oci.node);

  it("are seen inside of the container and by execs, also after a restart of Dockline", async () => {
    const { node } = oci;
    const folder = join(node.folder, "from-plugin");
    mkdirSync(folder);
    writeFileSync(join(folder, "file"), "hello");
    const plugin = await new TestPlugin({
      socket: nriSocket(node.folder),
      create: () => ({
        adjust: {
          env: [{ key: "FROM_PLUGIN", value: "yes" }],
          mounts: [
            { destination: "/from-plugin", type: "bind", source: folder, options: ["rbind", "ro"] },
          ],
          rlimits: [{ type: "RLIMIT_NOFILE", soft: 1234n, hard: 2345n }],
          linux: {
            oomScoreAdj: { value: 700n },
            resources: { cpu: { shares: { value: 512n } } },
          },
        },
      }),
    }).join();
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await createContainer(node, pod, containerConfig("sleep 600"));
    plugin.close();
    await node.terminate();
    await node.start();
    await node.runtime.startContainer({ containerId });
    const seen = await shell(
      node,
      containerId,
      "tr '\\0' '\\n' </proc/1/environ | grep FROM_PLUGIN; echo $FROM_PLUGIN; cat /from-plugin/file; echo;" +
        " touch /from-plugin/x 2>&1 | grep -o Read-only; grep 'open files' /proc/1/limits; cat /proc/1/oom_score_adj",
    );
    expect(seen.split("\n").map((line) => line.replaceAll(/\s+/g, " ").trim())).to.deep.equal([
      "FROM_PLUGIN=yes",
      "yes",
      "hello",
      "Read-only",
      "Max open files 1234 2345 files",
      "700",
    ]);
    expect((await node.docker.inspectContainer(containerId)).HostConfig.CpuShares).to.equal(512);
    await removePod(node, pod);
  });
});
