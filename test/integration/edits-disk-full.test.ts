import { execFileSync } from "node:child_process";
import { readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { expectError, until } from "../support/containers.ts";
import { startOciNode, type OciNode } from "../support/oci-node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removeAllPods,
  runPod,
  shell,
} from "../support/pods.ts";

// The folder of the edits is on a tmpfs on most nodes (/run), and others fill it too.

describe("edits for dockline-oci on a full disk", function () {
  this.timeout(120_000);
  let oci: OciNode;
  const filler = (): string => join(oci.edits, "filler");

  before(async () => {
    oci = await startOciNode({ dockline: [] });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k,mode=711", "tmpfs", oci.edits]);
  });
  after(async () => {
    rmSync(filler(), { force: true });
    await removeAllPods(oci.node);
    execFileSync("umount", [oci.edits]);
    await oci.close();
  });

  it("fail the start, which never runs without them, and work once there is room", async () => {
    const { node } = oci;
    const pod = await runPod(node, hostSandboxConfig(node));
    const mountOptions = ["noexec"];
    const mounts = [{ hostPath: oci.folder("v"), containerPath: "/v", mountOptions }];
    const containerId = await createContainer(
      node,
      pod,
      containerConfig("exec sleep 1000", { mounts }),
    );
    fill(filler());
    await expectError(
      node.runtime.startContainer({ containerId }),
      "RESOURCE_EXHAUSTED",
      /ENOSPC|no space/i,
    );
    const { State } = await node.docker.inspectContainer(containerId);
    expect(State).to.include({ Running: false, Pid: 0 });
    // No half of a file, under whatever name.
    expect(oci.editFiles()).to.deep.equal(["filler"]);
    // Docker's own start finds no edits, and does not do without.
    expect(oci.engine.dockerFails("start", containerId)).to.contain("dockline-oci");
    rmSync(filler());
    await node.runtime.startContainer({ containerId });
    expect(await shell(node, containerId, "grep ' /v ' /proc/mounts")).to.contain("noexec");
    await removeAllPods(node);
    await until("the edits are gone", () =>
      readdirSync(oci.edits).every((name) => /^\./.test(name)),
    );
  });
});

/** To the last block. */
function fill(path: string): void {
  const { bsize, bavail } = statfsSync(join(path, ".."));
  writeFileSync(path, Buffer.alloc(bsize * bavail));
}
