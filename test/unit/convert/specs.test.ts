import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { toContainerCreate, type ContainerSpecInput } from "../../../src/convert/container-spec.ts";
import { toSandboxCreate, type SandboxSpecInput } from "../../../src/convert/sandbox-spec.ts";
import {
  ContainerConfigSchema,
  Int64ValueSchema,
  NamespaceMode,
  PodSandboxConfigSchema,
  Signal,
  SupplementalGroupsPolicy,
  WindowsContainerConfigSchema,
  WindowsPodSandboxConfigSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, old, refuses } from "./support.ts";

type SandboxInit = Parameters<typeof create<typeof PodSandboxConfigSchema>>[1];
type ContainerInit = Parameters<typeof create<typeof ContainerConfigSchema>>[1];
const imageId = `sha256:${"a".repeat(64)}`;

const sandbox = (config: SandboxInit, change: Partial<SandboxSpecInput> = {}) =>
  toSandboxCreate({
    config: create(PodSandboxConfigSchema, config),
    name: "k8s_POD_a_b_c_0",
    runtimeHandler: "",
    labels: { l: "1" },
    pauseImage: "pause",
    engine: modern,
    ...change,
  });

const container = (config: ContainerInit, change: Partial<ContainerSpecInput> = {}) =>
  toContainerCreate({
    config: create(ContainerConfigSchema, { image: { image: imageId }, ...(config as object) }),
    sandboxConfig: create(PodSandboxConfigSchema, {}),
    sandboxId: "s1",
    sandboxName: "k8s_POD_a_b_c_0",
    runtimeHandler: "",
    labels: { l: "1" },
    engine: modern,
    ...change,
  });

const alwaysSet = {
  RestartPolicy: { Name: "no" },
  AutoRemove: false,
  Init: false,
  LogConfig: {
    Type: "json-file",
    Config: { "max-size": "16m", "max-file": "4", compress: "false" },
  },
  CgroupnsMode: "private",
};

describe("convert/sandbox-spec", () => {
  it("makes a pause container", () => {
    expect(
      sandbox({
        hostname: "web",
        linux: {
          cgroupParent: "/kubepods.slice/kubepods-podx.slice",
          sysctls: { "kernel.shm_rmid_forced": "1" },
          securityContext: {
            namespaceOptions: { pid: NamespaceMode.CONTAINER },
            runAsUser: { value: 5n },
            supplementalGroups: [7n],
            readonlyRootfs: true,
          },
        },
      }),
    ).to.deep.equal({
      Image: "pause",
      Hostname: "web",
      User: "5",
      Labels: { l: "1" },
      Healthcheck: { Test: ["NONE"] },
      HostConfig: {
        ...alwaysSet,
        NetworkMode: "none",
        IpcMode: "shareable",
        Annotations: { "io.containerd.runc.v2.group": "k8s_POD_a_b_c_0" },
        Privileged: false,
        ReadonlyRootfs: true,
        SecurityOpt: ["no-new-privileges", "seccomp=builtin"],
        GroupAdd: ["7"],
        Sysctls: Object.assign(Object.create(null) as object, { "kernel.shm_rmid_forced": "1" }),
        CgroupParent: "kubepods-podx.slice",
        OomScoreAdj: -998,
        CpuShares: 2,
      },
    });
  });

  it("clamps the OOM score", () => {
    const spec = sandbox({}, { engine: { ...modern, oomScoreFloor: 0 } });
    expect(spec.HostConfig.OomScoreAdj).to.equal(0);
  });

  it("overrides the daemon's ulimits", () => {
    const ulimits = [{ Name: "nofile", Soft: 1, Hard: 2 }];
    expect(sandbox({}, { engine: { ...modern, ulimits } }).HostConfig.Ulimits).to.deep.equal(
      ulimits,
    );
    expect(sandbox({}).HostConfig).to.not.have.property("Ulimits");
  });

  it("applies Strict to the pause image, which has no users", () => {
    const spec = sandbox({
      linux: {
        securityContext: {
          runAsUser: { value: 5n },
          supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict,
        },
      },
    });
    expect(spec.User).to.equal("5:0");
  });

  for (const [handler, change, runtime, grouped] of [
    ["", {}, undefined, true],
    ["runc", {}, "runc", true],
    ["crun", {}, "crun", true],
    ["runsc", {}, "runsc", false],
    ["docker", {}, undefined, true],
    ["io.containerd.kata.v2", {}, "io.containerd.kata.v2", false],
    ["", { defaultRuntime: "runsc" }, undefined, false],
    ["", { shimPerPod: false }, undefined, false],
    ["", { apiMinor: 42 }, undefined, false],
  ] as const) {
    it(`runs handler "${handler}" ${JSON.stringify(change)}`, () => {
      const engine = { ...modern, ...change };
      const bodies = [
        sandbox({}, { runtimeHandler: handler, engine }),
        container({}, { runtimeHandler: handler, engine }).body,
      ];
      for (const { HostConfig } of bodies) {
        expect(HostConfig.Runtime).to.equal(runtime);
        expect(HostConfig.Annotations !== undefined).to.equal(grouped);
      }
    });
  }

  it("lets no annotation of the pod reach the OCI runtime", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), (annotations) => {
        expect(sandbox({ annotations }).HostConfig.Annotations).to.deep.equal({
          "io.containerd.runc.v2.group": "k8s_POD_a_b_c_0",
        });
      }),
    );
  });

  for (const [driver, parent, expected] of [
    ["systemd", "/kubepods.slice/kubepods-podx.slice", "kubepods-podx.slice"],
    ["systemd", "kubepods.slice", "kubepods.slice"],
    ["cgroupfs", "/kubepods/podx", "/kubepods/podx"],
    ["cgroupfs", "/kubepods.slice", "/kubepods.slice"],
    ["cgroupfs", "", undefined],
    ["systemd", "", undefined],
  ] as const) {
    it(`puts ${JSON.stringify(parent)} under ${driver} in its place`, () => {
      const engine = { ...modern, cgroupDriver: driver };
      const config = { linux: { cgroupParent: parent } };
      expect(sandbox(config, { engine }).HostConfig.CgroupParent).to.equal(expected);
      const sandboxConfig = create(PodSandboxConfigSchema, config);
      expect(container({}, { engine, sandboxConfig }).body.HostConfig.CgroupParent).to.equal(
        expected,
      );
    });
  }

  for (const [what, config, change, message] of [
    ["an unknown handler", {}, { runtimeHandler: "kata" }, /runtime_handler: "kata"/],
    [
      "a shim name on an old engine",
      {},
      { runtimeHandler: "io.containerd.kata.v2", engine: old },
      /runtime_handler/,
    ],
    ["a long hostname", { hostname: "a".repeat(65) }, {}, /hostname/],
    ["a newline in the hostname", { hostname: "a\nb" }, {}, /hostname/],
    ["a cgroup that is no slice", { linux: { cgroupParent: "/kubepods/x" } }, {}, /cgroup_parent/],
    ["a nameless slice", { linux: { cgroupParent: "/a/.slice" } }, {}, /cgroup_parent/],
    [
      "a cgroup that climbs",
      { linux: { cgroupParent: "/a/../b" } },
      { engine: old },
      /cgroup_parent/,
    ],
    ["the root cgroup", { linux: { cgroupParent: "/" } }, { engine: old }, /cgroup_parent/],
    ["a NUL in the cgroup", { linux: { cgroupParent: "/a\0" } }, { engine: old }, /cgroup_parent/],
    ["Windows", { windows: create(WindowsPodSandboxConfigSchema) }, {}, /windows/],
    [
      "network sysctls on the host's network",
      {
        linux: {
          sysctls: { "net.x": "1" },
          securityContext: { namespaceOptions: { network: NamespaceMode.NODE } },
        },
      },
      {},
      /sysctls/,
    ],
    [
      "ipc sysctls on the host's ipc",
      {
        linux: {
          sysctls: { "kernel.sem": "1" },
          securityContext: { namespaceOptions: { ipc: NamespaceMode.NODE } },
        },
      },
      {},
      /sysctls/,
    ],
    [
      "a group without user",
      { linux: { securityContext: { runAsGroup: create(Int64ValueSchema, { value: 1n }) } } },
      {},
      /run_as_group/,
    ],
  ] as [string, SandboxInit, Partial<SandboxSpecInput>, RegExp][]) {
    it(`refuses ${what}`, () => {
      refuses(() => sandbox(config, change), message);
    });
  }
});

describe("convert/container-spec", () => {
  it("makes a workload container", () => {
    const spec = container(
      {
        command: ["/bin/app"],
        args: ["-v"],
        workingDir: "/srv",
        envs: [{ key: "A", value: Buffer.from("1=ü") }],
        mounts: [{ hostPath: "/h", containerPath: "/c", selinuxRelabel: true }],
        devices: [{ hostPath: "/dev/a", containerPath: "/dev/a", permissions: "r" }],
        CDIDevices: [{ name: "v.d/c=n" }],
        stdin: true,
        stdinOnce: true,
        tty: true,
        stopSignal: Signal.SIGRTMINPLUS3,
        linux: {
          resources: { cpuShares: 102n, oomScoreAdj: 998n, unified: { "memory.oom.group": "1" } },
          securityContext: {
            namespaceOptions: { pid: NamespaceMode.CONTAINER },
            runAsUser: { value: 1n },
            runAsGroup: { value: 2n },
          },
        },
      },
      {
        sandboxConfig: create(PodSandboxConfigSchema, { linux: { cgroupParent: "/a.slice" } }),
        engine: { ...modern, selinuxEnabled: true },
      },
    );
    expect(spec).to.deep.equal({
      body: {
        Image: imageId,
        Entrypoint: ["/bin/app"],
        Cmd: ["-v"],
        Env: ["A=1=ü"],
        WorkingDir: "/srv",
        User: "1:2",
        OpenStdin: true,
        StdinOnce: true,
        AttachStdin: true,
        Tty: true,
        StopSignal: "SIGRTMIN+3",
        Healthcheck: { Test: ["NONE"] },
        Labels: { l: "1" },
        HostConfig: {
          ...alwaysSet,
          NetworkMode: "container:s1",
          IpcMode: "container:s1",
          Annotations: { "io.containerd.runc.v2.group": "k8s_POD_a_b_c_0" },
          Privileged: false,
          ReadonlyRootfs: false,
          CapAdd: [],
          CapDrop: [],
          MaskedPaths: [],
          ReadonlyPaths: [],
          SecurityOpt: ["seccomp=unconfined"],
          CpuShares: 102,
          GroupAdd: [],
          Mounts: [
            {
              Type: "bind",
              Source: "/h",
              Target: "/c",
              ReadOnly: false,
              BindOptions: { Propagation: "rprivate" },
            },
          ],
          Devices: [{ PathOnHost: "/dev/a", PathInContainer: "/dev/a", CgroupPermissions: "r" }],
          DeviceRequests: [{ Driver: "cdi", DeviceIDs: ["v.d/c=n"] }],
          CgroupParent: "a.slice",
          OomScoreAdj: 998,
        },
      },
      hostWrites: [{ controller: "memory", file: "memory.oom.group", value: "1", optional: false }],
      relabelPaths: ["/h"],
    });
    expect(spec.body.HostConfig).to.not.have.property("Binds");
  });

  for (const [what, config, entrypoint, cmd] of [
    ["nothing", {}, undefined, undefined],
    ["args alone", { args: ["a"] }, undefined, ["a"]],
    ["a command alone", { command: ["c"] }, ["c"], []],
    ["both", { command: ["c"], args: ["a"] }, ["c"], ["a"]],
  ] as const) {
    it(`starts ${what}`, () => {
      const { body } = container(config as ContainerInit);
      expect(body.Entrypoint).to.deep.equal(entrypoint);
      expect(body.Cmd).to.deep.equal(cmd);
    });
  }

  it("runs privileged only in a privileged sandbox", () => {
    const config = { linux: { securityContext: { privileged: true } } };
    const sandboxConfig = create(PodSandboxConfigSchema, config);
    const { body } = container(config, { sandboxConfig });
    expect(body.HostConfig).to.include({ Privileged: true, CgroupnsMode: "host" });
    refuses(() => container(config), /^privileged/);
  });

  for (const [what, config, message] of [
    ["no image", { image: undefined }, /^image: must not be empty/],
    ["an odd image", { image: { image: "A B" } }, /^image: "A B"/],
    ["a relative working directory", { workingDir: "srv" }, /^working_dir/],
    ["NUL in the command", { command: ["a\0"] }, /^command/],
    ["NUL in the arguments", { args: ["a\0"] }, /^args/],
    ["a nameless variable", { envs: [{ key: "" }] }, /^envs\[0\]/],
    ["a variable with =", { envs: [{ key: "A=B" }] }, /^envs\[0\]/],
    ["a variable with NUL", { envs: [{ key: "A\0" }] }, /^envs\[0\]/],
    [
      "a value with NUL",
      { envs: [{ key: "A", value: Buffer.from("secret\0") }] },
      /^envs: the value of "A" holds a NUL$/,
    ],
    [
      "a value that is not UTF-8",
      { envs: [{ key: "OK" }, { key: "BAD", value: Uint8Array.of(0xff, 0xfe) }] },
      /^envs: the value of "BAD" is not UTF-8/,
    ],
    ["Windows", { windows: create(WindowsContainerConfigSchema) }, /^windows/],
  ] as [string, ContainerInit, RegExp][]) {
    it(`refuses ${what}`, () => {
      refuses(() => container(config), message);
    });
  }

  it("carries every UTF-8 value unchanged", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (value) => {
        fc.pre(!value.includes("\0"));
        const { body } = container({ envs: [{ key: "K", value: Buffer.from(value) }] });
        expect(body.Env).to.deep.equal([`K=${value}`]);
      }),
    );
    const bom = container({ envs: [{ key: "K", value: Buffer.from("\ufeffx") }] });
    expect(bom.body.Env).to.deep.equal(["K=\ufeffx"]);
  });
});
