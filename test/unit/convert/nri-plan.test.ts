import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  IOPrioClass,
  LinuxSchedulerPolicy,
  MpolFlag,
  MpolMode,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import type { AdjustmentFacts } from "../../../src/convert/nri-adjustment.ts";
import { execEnvironment, withAdjustment } from "../../../src/convert/nri-edits.ts";
import {} from "../../../src/convert/nri-plan.ts";
import { ContainerConfigSchema, MountPropagation } from "../../../src/gen/runtime/v1/api_pb.js";
import { facts, linux, ops, plain, plan, resources, type Adjustment, v1 } from "./nri-support.ts";

describe("an adjustment → Docker's update and edits of the OCI spec", () => {
  it("nothing is nothing", () => {
    expect(plan({})).to.deep.equal({});
    expect(
      plan({ hooks: {}, linux: { resources: { memory: {}, cpu: {} }, rdt: {} } }),
    ).to.deep.equal({});
  });

  it("resources that Docker's update has go there", () => {
    const {
      resources: change,
      docker,
      edits,
    } = plan(
      resources({
        memory: {
          limit: { value: 1n << 30n },
          reservation: { value: 1n << 29n },
          swap: { value: -1n },
        },
        cpu: {
          shares: { value: 512n },
          quota: { value: 5000n },
          period: { value: 10000n },
          cpus: "0-1",
          mems: "0",
        },
        pids: { limit: 0n },
        hugepageLimits: [{ pageSize: "2MB", limit: 4096n }],
        unified: { "memory.high": "1000" },
      }),
    );
    expect(edits).to.equal(undefined);
    expect(change).to.deep.include({
      memoryLimitInBytes: 1n << 30n,
      memorySwapLimitInBytes: -1n,
      cpuShares: 512n,
      cpuQuota: 5000n,
      cpuPeriod: 10000n,
      cpusetCpus: "0-1",
      cpusetMems: "0",
    });
    expect(change?.hugepageLimits.map(({ pageSize, limit }) => [pageSize, limit])).to.deep.equal([
      ["2MB", 4096n],
    ]);
    expect({ ...change?.unified }).to.deep.equal({ "memory.high": "1000" });
    expect(docker).to.deep.equal({ MemoryReservation: 1 << 29, PidsLimit: -1 });
  });

  it("resources need no dockline-oci", () => {
    const { engine, ...rest } = facts();
    const given = { ...rest, engine: { ...engine, editing: undefined } };
    expect(plan(resources({ pids: { limit: 7n } }), given)).to.deep.equal({
      resources: plan(resources({ pids: { limit: 7n } })).resources,
      docker: { PidsLimit: 7 },
    });
  });

  it("swap alone is sent with the container's own limit", () => {
    const config = create(ContainerConfigSchema, {
      linux: { resources: { memoryLimitInBytes: 1n << 25n } },
    });
    const asked = resources({ memory: { swap: { value: 1n << 26n } } });
    expect(plan(asked, facts({ config })).resources).to.deep.include({
      memoryLimitInBytes: 1n << 25n,
      memorySwapLimitInBytes: 1n << 26n,
    });
  });

  it("maps become one merge patch, in which null removes", () => {
    const { edits: made } = plan({
      annotations: { a: "1", "-b": "" },
      linux: {
        sysctl: { "net/ipv4/x": "1", "-kernel.sem": "" },
        netDevices: { eth1: { name: "in" }, eth2: {}, "-eth3": {} },
      },
    });
    expect(plain(made?.merge)).to.deep.equal({
      annotations: { a: "1", b: null },
      linux: {
        sysctl: { "net.ipv4.x": "1", "kernel.sem": null },
        netDevices: { eth1: { name: "in" }, eth2: {}, eth3: null },
      },
    });
    expect(made?.requires).to.deep.equal(["netDevices"]);
  });

  it("what an old runtime would pass over is required of it", () => {
    const requires = (adjust: Adjustment) => plan(adjust).edits?.requires;
    expect(requires(linux({ ioPriority: { class: IOPrioClass.IOPRIO_CLASS_RT } }))).to.deep.equal([
      "spec:1.1.0",
    ]);
    expect(
      requires(linux({ scheduler: { policy: LinuxSchedulerPolicy.SCHED_OTHER } })),
    ).to.deep.equal(["spec:1.1.0"]);
    expect(requires({ hooks: { prestart: [{ path: "/x" }] } })).to.deep.equal(["hook:prestart"]);
    expect(
      requires(
        linux({
          memoryPolicy: { mode: MpolMode.MPOL_BIND, flags: [MpolFlag.MPOL_F_STATIC_NODES] },
        }),
      ),
    ).to.deep.equal(["memoryPolicy:MPOL_BIND", "memoryPolicyFlag:MPOL_F_STATIC_NODES"]);
    expect(requires(linux({ rdt: { schemata: { value: [] } } }))).to.deep.equal([
      "intelRdt",
      "intelRdt.schemata",
    ]);
    const bind = { destination: "/d", source: "/s", type: "bind", options: ["rbind", "idmap"] };
    expect(requires({ mounts: [bind] })).to.deep.equal(["mountOption:rbind", "mountOption:idmap"]);
    const tmpfs = { destination: "/d", source: "tmpfs", type: "tmpfs", options: ["size=1m"] };
    expect(requires({ mounts: [tmpfs] })).to.equal(undefined);
  });

  it("CDI devices come behind the variables and hooks, and before devices and mounts", () => {
    const devices = [{ env: ["A=cdi"], mounts: [{ hostPath: "/lib", containerPath: "/lib" }] }];
    const adjust = {
      env: [{ key: "A", value: "plugin" }],
      CDIDevices: [{ name: "v/c=d" }],
      linux: { devices: [{ path: "/dev/x", type: "c" }] },
    };
    const made = plan(adjust, facts({ devices }));
    expect(made.edits?.ops?.map(({ op }) => op)).to.deep.equal([
      "env",
      "env",
      "append",
      "listPut",
      "append",
    ]);
    expect({ ...made.env }).to.deep.equal({ A: "cdi" });
  });

  it("an exec gets the variables, and loses those that were removed", () => {
    const { env } = plan({ env: [{ key: "A", value: "b=c" }, { key: "-B" }] });
    expect(execEnvironment(env)).to.deep.equal(["A=b=c", "B"]);
    expect(execEnvironment(undefined)).to.deep.equal([]);
  });

  it("the root's propagation is raised and never lowered", () => {
    const adjust = (propagation: string): Adjustment => ({
      mounts: [{ destination: "/d", source: "/s", type: "bind", options: ["rbind", propagation] }],
    });
    const given = (propagation: MountPropagation) =>
      facts({ config: create(ContainerConfigSchema, { mounts: [{ propagation }] }) });
    const first = (of: Adjustment, with_: AdjustmentFacts) => plain(ops(of, with_)?.[0]);
    const bidirectional = given(MountPropagation.PROPAGATION_BIDIRECTIONAL);
    const toContainer = given(MountPropagation.PROPAGATION_HOST_TO_CONTAINER);
    expect(first(adjust("rslave"), bidirectional)).to.have.property("op", "listPut");
    expect(first(adjust("rslave"), toContainer)).to.have.property("op", "listPut");
    expect(first(adjust("rshared"), toContainer)).to.have.property("value", "rshared");
    expect(first(adjust("rprivate"), facts())).to.have.property("op", "listPut");
  });

  it("an adjustment's edits come behind the container's own", () => {
    const own = {
      v: 1,
      containerId: "x",
      merge: { linux: { resources: { unified: { a: "1" } } } },
      ops: [{ op: "remove", path: "/a" }],
    } as const;
    const { edits: made } = plan({ args: ["x"], linux: { sysctl: { "kernel.sem": "1" } } });
    expect(plain(withAdjustment(own, made))).to.deep.equal({
      v: 1,
      containerId: "x",
      merge: { linux: { resources: { unified: { a: "1" } }, sysctl: { "kernel.sem": "1" } } },
      ops: [
        { op: "remove", path: "/a" },
        { op: "set", path: "/process/args", value: ["x"] },
      ],
    });
    expect(withAdjustment(own, undefined)).to.equal(own);
  });

  it("with cgroup v1 its own members are edited", () => {
    const adjust = resources({
      memory: { swappiness: { value: 10n }, disableOomKiller: { value: true } },
      cpu: { realtimeRuntime: { value: 5n }, realtimePeriod: { value: 6n } },
    });
    expect(plain(plan(adjust, v1).edits?.merge)).to.deep.equal({
      linux: {
        resources: {
          memory: { swappiness: 10, disableOOMKiller: true },
          cpu: { realtimeRuntime: 5, realtimePeriod: 6 },
        },
      },
    });
  });
});
