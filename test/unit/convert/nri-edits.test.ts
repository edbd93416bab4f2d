import { expect } from "chai";
import {
  IOPrioClass,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
  MpolFlag,
  MpolMode,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import { linux, one, ops, plain, plan, resources, type Adjustment } from "./nri-support.ts";

describe("what an adjustment edits of the OCI spec", () => {
  const edits: [string, Adjustment, unknown[]][] = [
    ["args", { args: ["a", "b"] }, [{ op: "set", path: "/process/args", value: ["a", "b"] }]],
    [
      "env",
      { env: [{ key: "A", value: "1" }, { key: "-B" }] },
      [
        { op: "env", name: "A", value: "1" },
        { op: "envDrop", name: "B" },
      ],
    ],
    [
      "hooks",
      {
        hooks: {
          poststop: [{ path: "/h", args: ["h", "x"], env: ["A=1"], timeout: { value: 5n } }],
        },
      },
      [
        {
          op: "append",
          path: "/hooks/poststop",
          values: [{ path: "/h", args: ["h", "x"], env: ["A=1"], timeout: 5 }],
        },
      ],
    ],
    [
      "linux.devices",
      linux({
        devices: [
          {
            path: "/dev/a",
            type: "b",
            major: 8n,
            minor: 1n,
            fileMode: { value: 0o400 },
            uid: { value: 5 },
          },
          { path: "-/dev/b" },
          { path: "/dev/p", type: "p" },
        ],
      }),
      [
        { op: "listDrop", path: "/linux/devices", key: "path", names: ["/dev/b"] },
        {
          op: "listPut",
          path: "/linux/devices",
          key: "path",
          values: [
            { path: "/dev/a", type: "b", major: 8, minor: 1, fileMode: 0o400, uid: 5 },
            { path: "/dev/p", type: "p", major: 0, minor: 0 },
          ],
        },
        {
          op: "append",
          path: "/linux/resources/devices",
          values: [{ allow: true, type: "b", major: 8, minor: 1, access: "rwm" }],
        },
      ],
    ],
    [
      "linux.resources.devices",
      resources({ devices: [{ allow: false, type: "c", major: one, access: "m" }] }),
      [
        {
          op: "append",
          path: "/linux/resources/devices",
          values: [{ allow: false, type: "c", major: 1, access: "m" }],
        },
      ],
    ],
    [
      "linux.oom_score_adj",
      linux({ oomScoreAdj: { value: -5n } }),
      [{ op: "oomScoreAdj", value: -5 }],
    ],
    [
      "linux.io_priority",
      linux({ ioPriority: { class: IOPrioClass.IOPRIO_CLASS_BE, priority: 4 } }),
      [
        {
          op: "set",
          path: "/process/ioPriority",
          value: { class: "IOPRIO_CLASS_BE", priority: 4 },
        },
      ],
    ],
    [
      "linux.io_priority without a class",
      linux({ ioPriority: {} }),
      [{ op: "remove", path: "/process/ioPriority" }],
    ],
    [
      "linux.scheduler",
      linux({
        scheduler: {
          policy: LinuxSchedulerPolicy.SCHED_DEADLINE,
          runtime: 10n,
          deadline: 20n,
          period: 20n,
          flags: [LinuxSchedulerFlag.SCHED_FLAG_RESET_ON_FORK],
        },
      }),
      [
        {
          op: "set",
          path: "/process/scheduler",
          value: {
            policy: "SCHED_DEADLINE",
            flags: ["SCHED_FLAG_RESET_ON_FORK"],
            runtime: 10,
            deadline: 20,
            period: 20,
          },
        },
      ],
    ],
    [
      "linux.seccomp_policy",
      linux({
        seccompPolicy: {
          defaultAction: "SCMP_ACT_ERRNO",
          defaultErrno: { value: 38 },
          architectures: ["SCMP_ARCH_X86_64"],
          flags: ["SECCOMP_FILTER_FLAG_LOG"],
          syscalls: [
            {
              names: ["clone"],
              action: "SCMP_ACT_ALLOW",
              args: [{ index: 0, value: 2114060288n, op: "SCMP_CMP_EQ" }],
            },
          ],
        },
      }),
      [
        {
          op: "set",
          path: "/linux/seccomp",
          value: {
            defaultAction: "SCMP_ACT_ERRNO",
            defaultErrnoRet: 38,
            architectures: ["SCMP_ARCH_X86_64"],
            flags: ["SECCOMP_FILTER_FLAG_LOG"],
            syscalls: [
              {
                names: ["clone"],
                action: "SCMP_ACT_ALLOW",
                args: [{ index: 0, value: 2114060288, op: "SCMP_CMP_EQ" }],
              },
            ],
          },
        },
      ],
    ],
    [
      "linux.namespaces",
      linux({ namespaces: [{ type: "pid", path: "/proc/1/ns/pid" }, { type: "-uts" }] }),
      [
        {
          op: "listPut",
          path: "/linux/namespaces",
          key: "type",
          values: [{ type: "pid", path: "/proc/1/ns/pid" }],
        },
        { op: "listDrop", path: "/linux/namespaces", key: "type", names: ["uts"] },
      ],
    ],
    [
      "linux.memory_policy",
      linux({
        memoryPolicy: {
          mode: MpolMode.MPOL_BIND,
          nodes: "0-1",
          flags: [MpolFlag.MPOL_F_STATIC_NODES],
        },
      }),
      [
        {
          op: "set",
          path: "/linux/memoryPolicy",
          value: { mode: "MPOL_BIND", nodes: "0-1", flags: ["MPOL_F_STATIC_NODES"] },
        },
      ],
    ],
    [
      "linux.rdt",
      linux({
        rdt: {
          closId: { value: "gold" },
          schemata: { value: ["L3:0=f"] },
          enableMonitoring: { value: true },
        },
      }),
      [
        { op: "set", path: "/linux/intelRdt/closID", value: "gold" },
        { op: "set", path: "/linux/intelRdt/schemata", value: ["L3:0=f"] },
        { op: "set", path: "/linux/intelRdt/enableMonitoring", value: true },
      ],
    ],
    [
      "removed linux.rdt",
      linux({ rdt: { remove: true } }),
      [{ op: "remove", path: "/linux/intelRdt" }],
    ],
    [
      "linux.resources.rdt_class",
      resources({ rdtClass: { value: "gold" } }),
      [{ op: "set", path: "/linux/intelRdt/closID", value: "gold" }],
    ],
    [
      "mounts",
      {
        mounts: [
          {
            destination: "/data/x/",
            source: "/srv",
            type: "bind",
            options: ["rbind", "ro", "rslave"],
          },
          { destination: "-/old" },
        ],
      },
      [
        { op: "set", path: "/linux/rootfsPropagation", value: "rslave" },
        {
          op: "listPut",
          path: "/mounts",
          key: "destination",
          values: [
            {
              destination: "/data/x",
              type: "bind",
              source: "/srv",
              options: ["rbind", "ro", "rslave"],
            },
          ],
        },
        { op: "listDrop", path: "/mounts", key: "destination", names: ["/old"] },
        { op: "sortMounts" },
      ],
    ],
    [
      "rlimits",
      { rlimits: [{ type: "RLIMIT_NOFILE", hard: 2n ** 64n - 1n, soft: 5n }] },
      [
        {
          op: "listPut",
          path: "/process/rlimits",
          key: "type",
          values: [{ type: "RLIMIT_NOFILE", hard: "18446744073709551615", soft: "5" }],
          integers: ["hard", "soft"],
        },
      ],
    ],
  ];
  for (const [name, adjust, expected] of edits) {
    it(`${name} is edited`, () => {
      expect(plain(ops(adjust))).to.deep.equal(expected);
      expect(plan(adjust).resources).to.equal(undefined);
    });
  }
});
