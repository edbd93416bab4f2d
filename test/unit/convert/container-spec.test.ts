import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import {
  NamespaceMode,
  PodSandboxConfigSchema,
  Signal,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, refuses } from "./support.ts";

import { alwaysSet, container, imageId, type ContainerInit } from "./spec-support.ts";

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
    });
    expect(spec.HostConfig).to.not.have.property("Binds");
  });

  for (const [what, config, entrypoint, cmd] of [
    ["nothing", {}, undefined, undefined],
    ["args alone", { args: ["a"] }, undefined, ["a"]],
    ["a command alone", { command: ["c"] }, ["c"], []],
    ["both", { command: ["c"], args: ["a"] }, ["c"], ["a"]],
  ] as const) {
    it(`starts ${what}`, () => {
      const body = container(config as ContainerInit);
      expect(body.Entrypoint).to.deep.equal(entrypoint);
      expect(body.Cmd).to.deep.equal(cmd);
    });
  }

  it("runs privileged only in a privileged sandbox", () => {
    const config = { linux: { securityContext: { privileged: true } } };
    const sandboxConfig = create(PodSandboxConfigSchema, config);
    const body = container(config, { sandboxConfig });
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
    ["a variable with NUL", { envs: [{ key: "A\0" }] }, /^envs\[0\]/],
    [
      "a value with NUL",
      { envs: [{ key: "A", value: Buffer.from("secret\0") }] },
      /^envs: the value of "A" holds a NUL$/,
    ],
  ] as [string, ContainerInit, RegExp][]) {
    it(`refuses ${what}`, () => {
      refuses(() => container(config), message);
    });
  }

  // What Go's encoding/json makes of the same bytes.
  for (const [bytes, value] of [
    [[0xff, 0xfe], "\ufffd\ufffd"],
    [[0x63, 0xe9, 0x20, 0x80], "c\ufffd \ufffd"],
    [[0xe2, 0x82, 0x41, 0xe2, 0x82, 0xac], "\ufffd\ufffdA€"],
    [[0xed, 0xa0, 0x80], "\ufffd\ufffd\ufffd"],
    [[0xf0, 0x9f, 0x98, 0x80, 0xf0, 0x9f], "😀\ufffd\ufffd"],
    [[0xc0, 0xaf, 0xef, 0xbb, 0xbf, 0xc3, 0xa9], "\ufffd\ufffd\ufeffé"],
    [[0xf5, 0x80, 0x80, 0x80, 0x61], "\ufffd\ufffd\ufffd\ufffda"],
  ] as const) {
    it(`replaces what is not UTF-8 in ${Buffer.from(bytes).toString("hex")}`, () => {
      const body = container({ envs: [{ key: "K", value: Uint8Array.from(bytes) }] });
      expect(body.Env).to.deep.equal([`K=${value}`]);
    });
  }

  it("carries every UTF-8 value unchanged", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (value) => {
        fc.pre(!value.includes("\0"));
        const body = container({ envs: [{ key: "K", value: Buffer.from(value) }] });
        expect(body.Env).to.deep.equal([`K=${value}`]);
      }),
    );
    const bom = container({ envs: [{ key: "K", value: Buffer.from("\ufeffx") }] });
    expect(bom.Env).to.deep.equal(["K=\ufeffx"]);
  });
});
