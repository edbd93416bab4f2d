import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { MountPropagation } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError, runToEnd, withContainer } from "../support/containers.ts";
import type { TestNode } from "../support/node.ts";
import { createContainer, numberedConfig, shell } from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { sharedPod } from "../support/shared-pod.ts";

type MountInit = NonNullable<ContainerInit["mounts"]>[number];

describe("a container's mount points", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;
  let dataRoot: string;
  const numbered = numberedConfig("p");
  const config = (line: string, mounts: MountInit[]): ContainerInit => numbered(line, { mounts });
  const output = async (line: string, mounts: MountInit[]): Promise<string> => {
    const { out, err } = await runToEnd(node, pod, config(line, mounts));
    return out + err;
  };
  /** A folder with a file `name` that holds its name. */
  const folder = (name: string): string => {
    const path = join(node.folder, "points", name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "name"), `${name}\n`);
    return path;
  };
  const file = (name: string): string => join(folder(name), "name");

  before(async () => {
    ({ node, pod } = shared);
    dataRoot = (await node.docker.info()).DockerRootDir;
  });

  it("may be the node's root, Docker's data root, or what is above, below or spelled like it", async () => {
    const sibling = mkdtempSync(`${dataRoot}-sibling-`);
    const below = mkdtempSync(join(dataRoot, "below-"));
    writeFileSync(join(sibling, "name"), "sibling\n");
    try {
      const sources = ["/", "/var", "/var/lib", join(dataRoot, ".."), dataRoot, below, sibling];
      const mounts = sources.map((hostPath, at) => ({
        hostPath,
        containerPath: `/m/${at}`,
        readonly: at % 2 === 0,
      }));
      await withContainer(node, pod, config("sleep 1000", mounts), async (containerId) => {
        expect(await shell(node, containerId, "cat /m/6/name")).to.equal("sibling");
        expect(await shell(node, containerId, `ls -d /m/0${dataRoot}/containers`)).to.match(/./);
        await shell(node, containerId, "touch /m/5/written");
        expect(existsSync(join(below, "written"))).to.equal(true);
        const { status } = await node.runtime.containerStatus({ containerId });
        expect(
          status?.mounts.map(({ hostPath, propagation }) => [hostPath, propagation]),
        ).to.deep.equal(sources.map((path) => [path, MountPropagation.PROPAGATION_PRIVATE]));
      });
    } finally {
      rmSync(sibling, { recursive: true });
      rmSync(below, { recursive: true });
    }
  });

  it("keep the propagation that was asked for in the data root", async () => {
    const below = mkdtempSync(join(dataRoot, "shared-"));
    execFileSync("mount", ["--bind", below, below]);
    execFileSync("mount", ["--make-shared", below]);
    try {
      mkdirSync(join(below, "in"));
      const { PROPAGATION_PRIVATE, PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL } =
        MountPropagation;
      const mounts = [
        { hostPath: below, containerPath: "/default", propagation: PROPAGATION_PRIVATE },
        { hostPath: below, containerPath: "/slave", propagation: PROPAGATION_HOST_TO_CONTAINER },
        { hostPath: below, containerPath: "/shared", propagation: PROPAGATION_BIDIRECTIONAL },
      ];
      await withContainer(node, pod, config("sleep 1000", mounts), async (containerId) => {
        execFileSync("mount", ["-t", "tmpfs", "none", join(below, "in")]);
        try {
          const seen = await shell(node, containerId, "grep -c /in /proc/self/mountinfo");
          // The default follows the node here, as Docker and CRI-O have it.
          expect(seen).to.equal("3");
        } finally {
          execFileSync("umount", [join(below, "in")]);
        }
      });
    } finally {
      execFileSync("umount", ["-l", below]);
      rmSync(below, { recursive: true });
    }
  });

  it("that come twice, also after cleaning, are those of the later mount", async () => {
    const mounts = [
      { hostPath: folder("a"), containerPath: "/x", readonly: true },
      { hostPath: folder("b"), containerPath: "/x/" },
      { hostPath: folder("c"), containerPath: "/y" },
      { hostPath: folder("d"), containerPath: "/y" },
      { hostPath: folder("e"), containerPath: "/q/../z//." },
      { hostPath: folder("f"), containerPath: "/z" },
      { hostPath: file("user"), containerPath: "/etc/hosts/" },
      { hostPath: file("kubelet"), containerPath: "/etc/hosts" },
      { hostPath: file("log"), containerPath: "/dev/termination-log" },
      { hostPath: file("later-log"), containerPath: "/dev//termination-log" },
    ];
    const line =
      "cat /x/name /y/name /z/name /etc/hosts /dev/termination-log; touch /x/w && echo writable";
    expect(await output(line, mounts)).to.equal("b\nd\nf\nkubelet\nlater-log\nwritable\n");
    await withContainer(node, pod, config("sleep 1000", mounts), async (containerId) => {
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.mounts.map(({ containerPath }) => containerPath)).to.deep.equal(
        mounts.map(({ containerPath }) => containerPath),
      );
    });
  });

  it("that lie within others come after them, in whatever order they are given", async () => {
    const outer = folder("outer");
    mkdirSync(join(outer, "in"));
    const mounts = [
      { hostPath: folder("inner"), containerPath: "/o/in" },
      { hostPath: outer, containerPath: "/o" },
    ];
    const line = "cat /o/in/name /o/name";
    expect(await output(line, mounts)).to.equal("inner\nouter\n");
    expect(await output(line, mounts.reverse())).to.equal("inner\nouter\n");
  });

  it("and the paths behind them may hold any character but NUL", async () => {
    const odd = folder("new\nline\t,:\u007f");
    const mounts = [{ hostPath: odd, containerPath: "/v\n:x" }];
    expect(await output("cat '/v\n:x/name'", mounts)).to.equal("new\nline\t,:\u007f\n");
  });

  it("take the place of what the runtime itself mounts", async () => {
    const mounts = [
      { hostPath: folder("shm"), containerPath: "/dev/shm/" },
      { hostPath: file("resolv"), containerPath: "/etc/resolv.conf" },
      { hostPath: file("hostname"), containerPath: "/etc/hostname" },
    ];
    const line = "cat /dev/shm/name /etc/resolv.conf /etc/hostname";
    expect(await output(line, mounts)).to.equal("shm\nresolv\nhostname\n");
  });

  it("with Docker's data root in them are recursively read-only by dockline-oci alone", async () => {
    const asked = { containerPath: "/v", readonly: true, recursiveReadOnly: true };
    const call = createContainer(
      node,
      pod,
      config("true", [{ ...asked, hostPath: join(dataRoot, "..") }]),
    );
    await expectError(call, "INVALID_ARGUMENT", /RROUnsupported: mounts\[0\]\.recursive_read_only/);
  });
});
