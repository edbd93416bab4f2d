import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { withLaneRuntime } from "../support/lane-runtime.ts";
import { MountPropagation } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError, runToEnd, until, withContainer } from "../support/containers.ts";
import { refused as refusedRow, works } from "../support/fields.ts";
import type { TestNode } from "../support/node.ts";
import { createContainer, numberedConfig, shell } from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { sharedPod } from "../support/shared-pod.ts";

type MountInit = NonNullable<ContainerInit["mounts"]>[number];

describe("a container's mounts", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;
  const numbered = numberedConfig("m");
  const config = (line: string, mounts: MountInit[]): ContainerInit => numbered(line, { mounts });
  const folder = (name: string): string => {
    const path = join(node.folder, "volumes", name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const output = async (line: string, mounts: MountInit[]): Promise<string> => {
    const { out, err } = await runToEnd(node, pod, config(line, mounts));
    return out + err;
  };
  const mount = (...args: string[]): void => void execFileSync("mount", args);
  const unmount = (path: string): void => void execFileSync("umount", [path]);
  const refused = (mounts: MountInit[], message: RegExp) =>
    expectError(createContainer(node, pod, config("true", mounts)), "INVALID_ARGUMENT", message);

  before(() => {
    ({ node, pod } = shared);
  });

  it("are read-write or read-only, files or folders, and shown as asked", async () => {
    works("Mount.container_path", "Mount.host_path", "Mount.readonly");
    const writable = folder("writable");
    const file = join(folder("files"), "hosts");
    writeFileSync(file, "10.0.0.1 x\n");
    const mounts = [
      { hostPath: writable, containerPath: "/data/sub" },
      { hostPath: writable, containerPath: "/ro", readonly: true },
      { hostPath: file, containerPath: "/etc/my-hosts", readonly: true },
    ];
    const one = config(
      "echo hi >/data/sub/f; cat /ro/f /etc/my-hosts; touch /ro/g 2>&1; sleep 1000",
      mounts,
    );
    await withContainer(node, pod, one, async (containerId) => {
      await until("it wrote", () => existsSync(join(writable, "f")));
      expect(await shell(node, containerId, "touch /ro/g 2>&1 || true")).to.match(/Read-only/);
      expect(await shell(node, containerId, "cat /etc/my-hosts")).to.equal("10.0.0.1 x");
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(
        status?.mounts.map(({ hostPath, containerPath, readonly }) => ({
          hostPath,
          containerPath,
          ...(readonly ? { readonly } : {}),
        })),
      ).to.deep.equal(mounts);
    });
    expect(existsSync(join(writable, "g"))).to.equal(false);
  });

  it("propagate as asked when the node mounts something later", async () => {
    works(
      "Mount.propagation=PRIVATE",
      "Mount.propagation=HOST_TO_CONTAINER",
      "Mount.propagation=BIDIRECTIONAL",
    );
    const host = folder("propagation");
    // Shared whatever the node's root is: Docker takes no private source for the two others.
    mount("--bind", host, host);
    mount("--make-shared", host);
    const inner = join(host, "later");
    mkdirSync(inner);
    const { PROPAGATION_PRIVATE, PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL } =
      MountPropagation;
    const mounts = [
      { hostPath: host, containerPath: "/private", propagation: PROPAGATION_PRIVATE },
      { hostPath: host, containerPath: "/slave", propagation: PROPAGATION_HOST_TO_CONTAINER },
      { hostPath: host, containerPath: "/shared", propagation: PROPAGATION_BIDIRECTIONAL },
    ];
    const one = {
      ...config("sleep 1000", mounts),
      linux: {
        resources: {},
        securityContext: { capabilities: { addCapabilities: ["SYS_ADMIN"] } },
      },
    };
    try {
      await withContainer(node, pod, one, async (containerId) => {
        mount("-t", "tmpfs", "none", inner);
        try {
          writeFileSync(join(inner, "seen"), "");
          const seen = await shell(
            node,
            containerId,
            "for d in private slave shared; do [ -e /$d/later/seen ] && echo $d; done; true",
          );
          expect(seen.split("\n")).to.deep.equal(["slave", "shared"]);
        } finally {
          unmount(inner);
        }
        await shell(node, containerId, "mkdir /shared/own && mount -t tmpfs none /shared/own");
        expect(readFileSync("/proc/mounts", "utf8")).to.include(`${host}/own `);
        await shell(node, containerId, "umount /shared/own");
        expect(readFileSync("/proc/mounts", "utf8")).to.not.include(`${host}/own `);
        const { status } = await node.runtime.containerStatus({ containerId });
        expect(status?.mounts.map(({ propagation }) => propagation)).to.deep.equal([
          PROPAGATION_PRIVATE,
          PROPAGATION_HOST_TO_CONTAINER,
          PROPAGATION_BIDIRECTIONAL,
        ]);
      });
    } finally {
      unmount(host);
    }
  });

  it("are read-only at their top alone, as the CRI has it", async () => {
    const host = folder("recursion");
    const inner = join(host, "inner");
    mkdirSync(inner);
    mount("-t", "tmpfs", "none", inner);
    try {
      const mounts = [{ hostPath: host, containerPath: "/v", readonly: true }];
      const line = "touch /v/x 2>/dev/null || echo top; touch /v/inner/x && echo inner";
      expect(await output(line, mounts)).to.equal("top\ninner\n");
    } finally {
      unmount(inner);
    }
  });

  it("that should be recursively read-only are so, or refused in the kubelet's word", async () => {
    const recursive = { hostPath: folder("rro"), containerPath: "/v", recursiveReadOnly: true };
    await refused([recursive], /recursive_read_only: needs readonly/);
    await refused(
      [
        {
          ...recursive,
          readonly: true,
          propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
        },
      ],
      /needs private propagation/,
    );
    const { runtimeHandlers } = await node.runtime.status({});
    if (runtimeHandlers.some(({ features }) => features?.recursiveReadOnlyMounts === true)) {
      const line = "touch /v/x 2>/dev/null || echo refused";
      works("Mount.recursive_read_only=without dockline-oci");
      expect(await output(line, [{ ...recursive, readonly: true }])).to.equal("refused\n");
    } else {
      refusedRow(
        "Mount.recursive_read_only=without dockline-oci",
        await refused([{ ...recursive, readonly: true }], /RROUnsupported/),
      );
    }
  });

  it("bind what a symlink means at create, and paths with odd characters", async () => {
    const real = folder("real");
    writeFileSync(join(real, "f"), "real");
    const link = join(node.folder, "volumes", "link");
    symlinkSync(real, link);
    expect(await output("cat /v/f", [{ hostPath: link, containerPath: "/v" }])).to.equal("real");
    const odd = folder("a:ro,Z b=c'\"ü\\");
    writeFileSync(join(odd, "f"), "odd");
    const mounts = [{ hostPath: odd, containerPath: "/v:ro,Z x" }];
    expect(await output("cat '/v:ro,Z x/f'; touch '/v:ro,Z x/g' && echo w", mounts)).to.equal(
      "oddw\n",
    );
  });

  it("refuse what makes no sense, and make nothing on the node", async () => {
    const ok = folder("ok");
    const missing = join(ok, "missing");
    await refused([{ hostPath: "", containerPath: "/v" }], /host_path/);
    await refused([{ hostPath: "relative", containerPath: "/v" }], /host_path/);
    await refused([{ hostPath: `${ok}/\u0000x`, containerPath: "/v" }], /host_path/);
    for (const containerPath of ["", "relative", "/", "//", "/a/..", "/v\u0000"])
      await refused([{ hostPath: missing, containerPath }], /container_path/);
    const mount = { hostPath: missing, containerPath: "/v" };
    await refused([{ ...mount, imageSubPath: "x" }], /image_sub_path/);
    if (!withLaneRuntime) {
      await refused([{ ...mount, mountOptions: ["noexec"] }], /mount_options/);
    }
    await refused([mount, { hostPath: "relative", containerPath: "/w" }], /mounts\[1\]/);
    expect(existsSync(missing)).to.equal(false);
  });
});
