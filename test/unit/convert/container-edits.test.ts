import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  containerWritesAfterStart,
  needsEdits,
  toContainerEdits,
} from "../../../src/convert/container-edits.ts";
import { editingRuntime } from "../../../src/convert/runtime-handler.ts";
import { ContainerConfigSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, old, refuses } from "./support.ts";
import { container, type ContainerInit } from "./spec-support.ts";

const editing = { name: "dockline", recursiveReadOnly: true };
const podIds = { hostId: 131072, size: 65536 };
const input = (config: ContainerInit, change: object = {}) => ({
  config: create(ContainerConfigSchema, config),
  podIds: undefined,
  devices: [],
  engine: { ...modern, editing },
  ...change,
});
const resources = (fields: object): ContainerInit => ({ linux: { resources: fields } });
const rro = {
  mounts: [{ hostPath: "/h", containerPath: "/c", readonly: true, recursiveReadOnly: true }],
};

describe("convert/container-edits", () => {
  for (const [what, config, change, expected] of [
    ["an ordinary container", {}, {}, false],
    ["what Docker can say of resources", resources({ memoryLimitInBytes: 1n << 30n }), {}, false],
    ["a unified key", resources({ unified: { "memory.oom.group": "1" } }), {}, true],
    ["a swap limit by its key", resources({ unified: { "memory.swap.max": "0" } }), {}, true],
    ["a key that Docker has a field for", resources({ unified: { "pids.max": "9" } }), {}, false],
    ["memory below Docker's floor", resources({ memoryLimitInBytes: 4096n }), {}, true],
    [
      "a huge page limit",
      resources({ hugepageLimits: [{ pageSize: "2MB", limit: 1n }] }),
      {},
      true,
    ],
    ["no huge pages", resources({ hugepageLimits: [{ pageSize: "2MB", limit: 0n }] }), {}, false],
    ["mount options", { mounts: [{ containerPath: "/c", mountOptions: ["noexec"] }] }, {}, true],
    ["recursive read-only here", rro, {}, false],
    [
      "recursive read-only of what Docker's data root is in",
      { mounts: [{ ...rro.mounts[0], hostPath: "/var" }] },
      {},
      true,
    ],
    ["recursive read-only on an old engine", rro, { engine: { ...old, editing } }, true],
    ["a pod's user namespace", {}, { podIds }, true],
    ["CDI devices without an engine's CDI", {}, { devices: [{ env: ["A=1"] }] }, true],
  ] as const) {
    it(`are ${expected ? "" : "not "}needed for ${what}`, () => {
      expect(needsEdits(input(config as ContainerInit, change))).to.equal(expected);
    });
  }

  it("are never needed without dockline-oci, where the rest is refused", () => {
    const engine = { ...modern, editing: undefined };
    const config = resources({ unified: { "memory.oom.group": "1" } });
    expect(needsEdits(input(config, { engine }))).to.equal(false);
  });

  it("say what holds, also what the engine of the day would say itself", () => {
    const join = { pid: 7, startTicks: 8 };
    expect(
      toContainerEdits(input(rro, { podIds }), "c1", { join, volumes: ["/data"] }),
    ).to.deep.equal({
      v: 1,
      containerId: "c1",
      ops: [
        { op: "mountOptions", destination: "/c", add: ["rro", "rprivate"], remove: ["rslave"] },
      ],
      userNamespace: {
        ...podIds,
        join,
        idmapMounts: ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/data"].map(
          (destination) => ({
            destination,
            optional: true,
          }),
        ),
      },
    });
    expect(toContainerEdits(input({}), "c1")).to.deep.equal({ v: 1, containerId: "c1" });
  });

  it("carry the swap key as it was given, where Docker might drop its own field", () => {
    const unified = { "memory.swap.max": "1048576" };
    const config = resources({ memoryLimitInBytes: 1n << 30n, unified });
    expect(toContainerEdits(input(config), "c1").merge).to.deep.equal({
      linux: { resources: { unified } },
    });
  });

  it("leave to after the start what runc would not survive, or everything without them", () => {
    const { linux } = create(
      ContainerConfigSchema,
      resources({ memoryLimitInBytes: 4096n }) as object,
    );
    const files = (edited: boolean): string[] =>
      containerWritesAfterStart(linux?.resources, modern, edited).map(({ file }) => file);
    expect(files(true)).to.deep.equal(["memory.max"]);
    expect(files(false)).to.deep.equal(["memory.max", "memory.swap.max"]);
  });
});

describe("convert/runtime-handler: dockline-oci", () => {
  const facts = {
    ...modern,
    runtimes: ["runc", "crun", "runsc", "dockline", "dockline-crun", "io.containerd.runc.v2"],
    editingRuntimes: [editing, { ...editing, name: "dockline-crun" }],
  };
  it("stands in front of what a handler names, where it is registered for that", () => {
    const names = ["", "runc", "docker", "io.containerd.runc.v2", "crun", "runsc"].map(
      (handler) => editingRuntime(handler, facts)?.name,
    );
    expect(names).to.deep.equal([
      ...["dockline", "dockline", "dockline", "dockline", "dockline-crun", undefined],
    ]);
    expect(editingRuntime("", { ...facts, defaultRuntime: "crun" })?.name).to.equal(
      "dockline-crun",
    );
    expect(editingRuntime("", modern)).to.equal(undefined);
  });

  it("is no handler itself", () => {
    refuses(() => editingRuntime("dockline", facts), /chosen by Dockline itself/);
  });

  it("runs a container that needs it, and no other", () => {
    const change = { engine: facts };
    expect(container({}, change).HostConfig).to.not.have.property("Runtime");
    expect(container({}, { ...change, edited: true }).HostConfig.Runtime).to.equal("dockline");
    const crun = { ...change, edited: true, runtimeHandler: "crun" };
    expect(container({}, crun).HostConfig.Runtime).to.equal("dockline-crun");
  });
});
