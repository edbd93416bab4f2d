import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { type SandboxSpecInput } from "../../../src/convert/sandbox-spec.ts";
import {
  Int64ValueSchema,
  NamespaceMode,
  PodSandboxConfigSchema,
  SupplementalGroupsPolicy,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, old, refuses } from "./support.ts";

import { alwaysSet, container, sandbox, type SandboxInit } from "./spec-support.ts";

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
        ShmSize: 64 << 20,
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
        container({}, { runtimeHandler: handler, engine }),
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
      expect(container({}, { engine, sandboxConfig }).HostConfig.CgroupParent).to.equal(expected);
    });
  }

  it("leaves a group without a user to the containers, and keeps a group with one", () => {
    const [runAsUser, runAsGroup] = [5n, 107n].map((value) => create(Int64ValueSchema, { value }));
    const lone = sandbox({ linux: { securityContext: { runAsGroup, supplementalGroups: [7n] } } });
    expect(lone).to.not.have.property("User");
    expect(lone.HostConfig.GroupAdd).to.deep.equal(["7"]);
    const both = sandbox({ linux: { securityContext: { runAsUser, runAsGroup } } });
    expect(both.User).to.equal("5:107");
  });

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
    [
      "a cgroup whose name no folder can have",
      { linux: { cgroupParent: `/${"x".repeat(256)}` } },
      { engine: old },
      /cgroup_parent/,
    ],
    ["the root cgroup", { linux: { cgroupParent: "/" } }, { engine: old }, /cgroup_parent/],
    ["a NUL in the cgroup", { linux: { cgroupParent: "/a\0" } }, { engine: old }, /cgroup_parent/],
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
  ] as [string, SandboxInit, Partial<SandboxSpecInput>, RegExp][]) {
    it(`refuses ${what}`, () => {
      refuses(() => sandbox(config, change), message);
    });
  }
});
