import { execFileSync } from "node:child_process";
import { existsSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { expectError, procStatus } from "../support/containers.ts";
import { startOciNode, usernsPod, type OciNode } from "../support/oci-node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removeAllPods,
  runPod,
  shell,
  startContainer,
} from "../support/pods.ts";
import { tempFolder } from "../support/temp-folder.ts";

// A daemon.json with "userns-remap": pods run as if it were not there, but for the owners of image
// files.

const firstId = 200_000;
const rangeFiles = ["/etc/subuid", "/etc/subgid"];

describe("an engine with userns-remap", function () {
  this.timeout(120_000);
  const temp = tempFolder();
  const made: string[] = [];
  let oci: OciNode;

  before(async function () {
    // The engine itself does not start with both.
    if (process.env["DOCKLINE_TEST_STORE"] === "containerd") this.skip();
    // For the engine's start alone: all others find their own ranges again.
    writeFileSync(temp.path("ranges"), `nobody:${firstId}:65536\nnogroup:${firstId}:65536\n`);
    for (const file of rangeFiles) {
      if (!existsSync(file)) {
        writeFileSync(file, "");
        made.push(file);
      }
      execFileSync("mount", ["--bind", temp.path("ranges"), file]);
    }
    try {
      oci = await startOciNode(
        { dockline: [] },
        { engine: { daemon: { "userns-remap": "nobody:nogroup" } } },
      );
    } finally {
      for (const file of rangeFiles) execFileSync("umount", [file]);
      for (const file of made) rmSync(file);
    }
  });
  after(async () => {
    await (oci as OciNode | undefined)?.close();
    temp.remove();
  });
  afterEach(() => removeAllPods(oci.node));

  it("runs pods with the node's ids, so that volumes keep their owners", async () => {
    const { node } = oci;
    expect(oci.engine.docker("info", "-f", "{{.SecurityOptions}}")).to.contain("name=userns");
    const pod = await runPod(node);
    const volume = oci.folder("volume");
    writeFileSync(join(volume, "root"), "the node's", { mode: 0o600 });
    const id = await startContainer(
      node,
      pod,
      containerConfig("exec sleep 1000", {
        mounts: [{ hostPath: volume, containerPath: "/volume" }],
      }),
    );
    expect(await shell(node, id, "cat /proc/self/uid_map")).to.match(/^\s*0 +0 +4294967295$/);
    expect(await shell(node, id, "cat /volume/root; stat -c %u /volume/root")).to.equal(
      "the node's0",
    );
    await shell(node, id, "echo new >/volume/new");
    expect(statSync(join(volume, "new")).uid).to.equal(0);
    // What docs/user-namespaces.md warns of: image files belong to the engine's range.
    expect(await shell(node, id, "stat -c %u:%g /bin/busybox /owned")).to.equal(
      `${firstId}:${firstId}\n${firstId + 1000}:${firstId + 1001}`,
    );
  });

  it("gives the host's network and privileged pods, which a mapped daemon could not", async () => {
    const { node } = oci;
    const sandbox = hostSandboxConfig(node);
    const security = { ...sandbox.linux?.securityContext, privileged: true };
    const pod = await runPod(node, { ...sandbox, linux: { securityContext: security } });
    const id = await createContainer(
      node,
      pod,
      containerConfig("exec sleep 1000", {
        linux: { resources: {}, securityContext: { privileged: true } },
      }),
    );
    expect((await node.docker.inspectContainer(id)).HostConfig.UsernsMode).to.equal("host");
    // CAP_SYS_RESOURCE: without it on the machine no engine starts a privileged container.
    const all = (BigInt(`0x${procStatus("self", "CapBnd")}`) & (1n << 24n)) !== 0n;
    if (all) await node.runtime.startContainer({ containerId: id });
    const plain = containerConfig("exec sleep 1000", { metadata: { name: "plain" } });
    const seen = all ? id : await startContainer(node, pod, plain);
    expect(
      await shell(node, seen, "readlink /proc/self/ns/user; readlink /proc/self/ns/net"),
    ).to.equal(["user", "net"].map((name) => readlinkSync(`/proc/self/ns/${name}`)).join("\n"));
  });

  it("refuses a pod's own user namespace with the reason, and does not offer it", async () => {
    const { node } = oci;
    const { runtimeHandlers } = await node.runtime.status({});
    expect(runtimeHandlers.map(({ features }) => features?.userNamespaces)).to.not.include(true);
    await expectError(
      node.runtime.runPodSandbox({ config: usernsPod(node) }),
      "INVALID_ARGUMENT",
      /the engine's userns-remap gives image files owners of its own/,
    );
    expect(oci.engine.docker("ps", "-aq")).to.equal("");
  });
});
