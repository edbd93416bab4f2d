import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NamespaceMode } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError, procStatus, until } from "../support/containers.ts";
import { notHere, works } from "../support/fields.ts";
import { withHugetlb } from "../support/hugetlb.ts";
import { newRunc } from "../support/oci-engine.ts";
import { startOciNode, usernsPod, type OciNode } from "../support/oci-node.ts";
import {
  containerConfig,
  createContainer,
  removeAllPods,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
  untilExited,
  type ContainerInit,
  type RunningPod,
} from "../support/pods.ts";

// What Docker's API has no field for, in containers of ordinary pods; with any runc.

const namespaceOptions = { pid: NamespaceMode.CONTAINER };
const unifiedHierarchy = existsSync("/sys/fs/cgroup/cgroup.controllers");

describe("a container that Docker's API cannot describe @cgroup2", function () {
  this.timeout(240_000);
  const runc = newRunc();
  let oci: OciNode;
  let pod: RunningPod;

  before(async () => {
    oci = await startOciNode({ dockline: runc === undefined ? [] : [`--real-runtime=${runc}`] });
  });
  after(async () => {
    await oci.close();
  });
  beforeEach(async () => {
    const { node } = oci;
    pod = await runPod(
      node,
      sandboxConfig(node, {
        hostname: "",
        linux: {
          securityContext: {
            namespaceOptions: { ...namespaceOptions, network: NamespaceMode.NODE },
          },
        },
      }),
    );
  });
  afterEach(async () => {
    await removeAllPods(oci.node);
    await until("nothing left of the edits", () => oci.editFiles().length === 0);
  });

  const run = async (fields: ContainerInit, line = "sleep 1000"): Promise<string> =>
    await startContainer(oci.node, pod, containerConfig(line, fields));
  const linux = (fields: object): ContainerInit => ({
    linux: { resources: {}, securityContext: { namespaceOptions }, ...fields },
  });
  const pidOf = async (id: string): Promise<number> =>
    (await oci.node.docker.inspectContainer(id)).State.Pid;
  const runtimeOf = async (id: string): Promise<string | undefined> =>
    (await oci.node.docker.inspectContainer(id)).HostConfig.Runtime;
  /** A file of the container's cgroup, in the hierarchy of a v1 controller or the only one. */
  const cgroupFile = async (id: string, controller: string, file: string): Promise<string> => {
    const lines = readFileSync(`/proc/${await pidOf(id)}/cgroup`, "utf8").split("\n");
    const own = lines
      .map((text) => text.split(":"))
      .find(([, names]) =>
        unifiedHierarchy ? names === "" : names?.split(",").includes(controller),
      );
    const root = unifiedHierarchy ? "/sys/fs/cgroup" : `/sys/fs/cgroup/${controller}`;
    return readFileSync(join(root, own?.[2] ?? "", file), "utf8").trim();
  };

  it("is alone in running under dockline-oci", async () => {
    const plain = await run({});
    expect(await runtimeOf(plain)).to.equal("runc");
    // The kubelet says so of every page size to every container.
    const hugepageLimits = [{ pageSize: "2MB", limit: 0n }];
    const none = await run({
      ...linux({ resources: { hugepageLimits } }),
      metadata: { name: "b" },
    });
    expect(await runtimeOf(none)).to.equal("runc");
    expect(oci.editFiles()).to.deep.equal([]);
    const mountOptions = ["noexec"];
    const mounts = [{ hostPath: oci.folder("v"), containerPath: "/v", mountOptions }];
    const edited = await run({ mounts, metadata: { name: "c" } });
    expect(await runtimeOf(edited)).to.equal("dockline");
    expect(oci.editFiles()).to.deep.equal([`${edited}.json`]);
  });

  it("has the options that its mounts were given", async () => {
    works("Mount.mount_options=with dockline-oci");
    const hostPath = oci.folder("options");
    writeFileSync(join(hostPath, "tool"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
    const id = await run({
      mounts: [
        { hostPath, containerPath: "/strict", mountOptions: ["noexec", "nosuid", "nodev"] },
        { hostPath, containerPath: "/plain" },
      ],
    });
    expect(await shell(oci.node, id, "grep ' /strict ' /proc/mounts")).to.match(
      /nosuid,nodev,noexec/,
    );
    expect(await shell(oci.node, id, "/plain/tool")).to.equal("ran");
    expect(await shell(oci.node, id, "/strict/tool 2>&1 || true")).to.contain("Permission denied");
  });

  it("is refused for an option that is none, before anything is made", async () => {
    for (const [mountOptions, message] of [
      [["norun"], /"norun" is not supported/],
      [["exec", "noexec"], /its opposite/],
    ] as const) {
      const mounts = [{ hostPath: "/tmp", containerPath: "/v", mountOptions: [...mountOptions] }];
      const call = createContainer(oci.node, pod, containerConfig("true", { mounts }));
      await expectError(call, "INVALID_ARGUMENT", message);
    }
  });

  it("has read-only volumes down to the mounts below them", async function () {
    works("Mount.recursive_read_only=with dockline-oci");
    const { runtimeHandlers } = await oci.node.runtime.status({});
    const { features } = runtimeHandlers.find(({ name }) => name === "") ?? {};
    if (features?.recursiveReadOnlyMounts !== true) {
      const why = "the kernel has no mount_setattr for the container's root: not offered, refused";
      notHere(this, ["Mount.recursive_read_only=with dockline-oci"], why);
    }
    const hostPath = oci.folder("tree");
    const below = oci.folder("tree/below");
    const dataRoot = (await oci.node.docker.info()).DockerRootDir;
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", below]);
    try {
      const readonly = { hostPath, readonly: true };
      const id = await run({
        mounts: [
          { ...readonly, containerPath: "/all", recursiveReadOnly: true },
          { ...readonly, containerPath: "/top" },
          { ...readonly, containerPath: "/node", hostPath: dataRoot, recursiveReadOnly: true },
        ],
      });
      expect(await shell(oci.node, id, "touch /all/below/x 2>&1 || true")).to.contain("Read-only");
      expect(await shell(oci.node, id, "touch /top/x 2>&1 || true")).to.contain("Read-only");
      expect(await shell(oci.node, id, "touch /top/below/x && echo may")).to.equal("may");
      // Docker alone lets what the node mounts later appear here, writable.
      const mount = await shell(oci.node, id, "grep ' /node ' /proc/self/mountinfo");
      expect(mount)
        .to.match(/ \/node ro/)
        .and.not.match(/ (master|shared):/);
      await oci.node.runtime.removeContainer({ containerId: id });
    } finally {
      execFileSync("umount", [below]);
    }
  });

  it("has ambient capabilities though it is not root", async () => {
    works("Capability.add_ambient_capabilities=with dockline-oci");
    const id = await run(
      linux({
        securityContext: {
          namespaceOptions,
          runAsUser: { value: 1000n },
          noNewPrivs: true,
          capabilities: {
            dropCapabilities: ["ALL"],
            addAmbientCapabilities: ["NET_BIND_SERVICE"],
          },
        },
      }),
    );
    for (const field of ["CapAmb", "CapEff", "CapPrm", "CapBnd"]) {
      expect(procStatus(await pidOf(id), field), field).to.equal("0000000000000400");
    }
  });

  for (const [what, kib] of [
    ["Docker allows, from its first moment on", 5632],
    ["runc itself needs, once it runs", 2048],
  ] as const) {
    it(`has less memory than ${what}`, async () => {
      const memoryLimitInBytes = BigInt(kib * 1024);
      const id = await run(linux({ resources: { memoryLimitInBytes } }));
      const file = unifiedHierarchy ? "memory.max" : "memory.limit_in_bytes";
      expect(await cgroupFile(id, "memory", file)).to.equal(String(memoryLimitInBytes));
    });
  }

  it("has its cgroup v2 keys before its process runs", async function () {
    const rows = [
      "LinuxContainerResources.unified",
      "LinuxContainerResources.unified=memory.swap.max",
    ];
    // On cgroup v1 they are refused: field-cases.test.ts.
    if (!unifiedHierarchy) notHere(this, rows.slice(1), "the node has cgroup v1");
    works(...rows);
    const unified = {
      "memory.oom.group": "1",
      "memory.low": "1048576",
      "memory.min": "524288",
      "memory.high": "67108864",
    };
    const line =
      "cat /sys/fs/cgroup/memory.oom.group /sys/fs/cgroup/memory.high >/seen; sleep 1000";
    const id = await run(linux({ resources: { unified } }), line);
    for (const [key, value] of Object.entries(unified)) {
      expect(await cgroupFile(id, "memory", key), key).to.equal(value);
    }
    expect(await shell(oci.node, id, "cat /seen")).to.equal("1\n67108864");
    const swap = await run({
      ...linux({
        resources: { memoryLimitInBytes: 33554432n, unified: { "memory.swap.max": "1048576" } },
      }),
      metadata: { name: "swap" },
    });
    expect(await cgroupFile(swap, "memory", "memory.max")).to.equal("33554432");
    expect(await cgroupFile(swap, "memory", "memory.swap.max")).to.equal("1048576");
  });

  it("is killed as a whole when its memory ends and memory.oom.group says so", async function () {
    const row = "LinuxContainerResources.unified=memory.oom.group";
    if (!unifiedHierarchy) notHere(this, [row], "the node has cgroup v1");
    works(row);
    const resources = { memoryLimitInBytes: 25165824n, unified: { "memory.oom.group": "1" } };
    const id = await run(
      linux({ resources }),
      "sleep 1000 & dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 1000",
    );
    const status = await untilExited(oci.node, id, 60_000);
    expect(status.exitCode).to.equal(137);
    expect(status.reason).to.equal("OOMKilled");
  });

  it("does not start with a key that this kernel does not have", async function () {
    if (!unifiedHierarchy) this.skip();
    const resources = { unified: { "memory.nonesuch": "1" } };
    const id = await createContainer(oci.node, pod, containerConfig("true", linux({ resources })));
    const call = oci.node.runtime.startContainer({ containerId: id });
    await expectError(call, "INTERNAL", /memory\.nonesuch/);
  });

  it("has huge page limits before its process runs", async function () {
    const rows = ["HugepageLimit.page_size", "HugepageLimit.limit"];
    if (unifiedHierarchy) {
      notHere(this, rows, "the kernel of this lane has no hugetlb controller on cgroup v2");
    }
    works(...rows);
    await withHugetlb(async () => {
      const hugepageLimits = [
        { pageSize: "2MB", limit: 4194304n },
        { pageSize: "1GB", limit: 0n },
      ];
      const line = "cat /sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes >/seen; sleep 1000";
      const id = await run(linux({ resources: { hugepageLimits } }), line);
      const limit = (file: string): Promise<string> => cgroupFile(id, "hugetlb", file);
      expect(await limit("hugetlb.2MB.limit_in_bytes")).to.equal("4194304");
      expect(await limit("hugetlb.2MB.rsvd.limit_in_bytes")).to.equal("4194304");
      expect(await limit("hugetlb.1GB.limit_in_bytes")).to.equal("0");
      expect(await shell(oci.node, id, "cat /seen")).to.equal("4194304");
      expect(await runtimeOf(id)).to.equal("dockline");
      await removeAllPods(oci.node);
    });
  });

  it("starts without its huge page limit where the kernel limits none, as under other runtimes", async function () {
    if (unifiedHierarchy || existsSync("/sys/fs/cgroup/hugetlb")) this.skip();
    const resources = { hugepageLimits: [{ pageSize: "2MB", limit: 4194304n }] };
    const id = await createContainer(oci.node, pod, containerConfig("true", linux({ resources })));
    await oci.node.runtime.startContainer({ containerId: id });
    expect((await untilExited(oci.node, id)).exitCode).to.equal(0);
  });

  it("has CDI devices, also on an engine without CDI", async () => {
    works("CDIDevice.name");
    const { ApiVersion } = await oci.node.docker.version();
    const native = Number(ApiVersion.split(".")[1]) >= 44;
    const file = `/var/run/cdi/dockline-test-${process.pid}.json`;
    mkdirSync("/var/run/cdi", { recursive: true });
    const spec = {
      cdiVersion: "0.7.0",
      kind: "dockline.test/device",
      containerEdits: { env: ["VENDOR=yes"] },
      devices: [
        {
          name: "one",
          containerEdits: {
            env: ["DEVICE=one"],
            deviceNodes: [{ path: "/dev/one", hostPath: "/dev/zero", permissions: "r" }],
            mounts: [
              { hostPath: oci.folder("cdi"), containerPath: "/cdi", options: ["ro", "bind"] },
            ],
            additionalGids: [4242],
          },
        },
      ],
    };
    writeFileSync(file, JSON.stringify(spec));
    try {
      const CDIDevices = [{ name: "dockline.test/device=one" }];
      const id = await run({ CDIDevices }, "env >/seen; sleep 1000");
      expect(await runtimeOf(id)).to.equal(native ? "runc" : "dockline");
      const line = "cat /seen; head -c 4 /dev/one | od -An -tx1; grep ' /cdi ' /proc/mounts; id -G";
      const seen = await shell(oci.node, id, line);
      expect(seen)
        .to.match(/VENDOR=yes/)
        .and.match(/DEVICE=one/)
        .and.match(/00 00 00 00/);
      expect(seen).to.match(/ \/cdi \w+ ro,/);
      expect(procStatus(await pidOf(id), "Groups").split(" ")).to.include("4242");
      const unknown = {
        CDIDevices: [{ name: "dockline.test/device=two" }],
        metadata: { name: "unknown" },
      };
      const call = createContainer(oci.node, pod, containerConfig("true", unknown));
      if (!native) {
        await expectError(call, "INVALID_ARGUMENT", /no device "dockline.test\/device=two"/);
        return;
      }
      // The engine looks the name up at the start.
      const containerId = await call;
      const start = oci.node.runtime.startContainer({ containerId });
      await expectError(start, "INTERNAL", /unresolvable.*dockline.test\/device=two/);
    } finally {
      rmSync(file);
    }
  });

  it("cannot name dockline-oci as its pod's runtime class", async () => {
    const config = sandboxConfig(oci.node);
    const call = oci.node.runtime.runPodSandbox({ config, runtimeHandler: "dockline" });
    await expectError(call, "INVALID_ARGUMENT", /chosen by Dockline itself/);
  });

  it("has no user namespace where the runtime would pass over mapped volumes", async function () {
    if (runc !== undefined) this.skip();
    const config = usernsPod(oci.node);
    await expectError(
      oci.node.runtime.runPodSandbox({ config }),
      "INVALID_ARGUMENT",
      /does not map the ids of mounts/,
    );
  });
});
