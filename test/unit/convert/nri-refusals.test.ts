import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  IOPrioClass,
  LinuxSchedulerPolicy,
  MpolMode,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import type { AdjustmentFacts } from "../../../src/convert/nri-adjustment.ts";
import {
  ContainerConfigSchema,
  NamespaceMode,
  PodSandboxConfigSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { unknownEnum } from "./support.ts";
import {
  facts,
  linux,
  one,
  refusal,
  resources,
  runc11,
  type Adjustment,
  v1,
} from "./nri-support.ts";

describe("what of an adjustment is refused", () => {
  const [never, node, meaningless] = ["Unimplemented", "FailedPrecondition", "InvalidArgument"];
  const hostNetwork = facts({
    pod: create(PodSandboxConfigSchema, {
      linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
    }),
  });
  const userns = facts({
    config: create(ContainerConfigSchema, {
      linux: {
        securityContext: {
          namespaceOptions: {
            usernsOptions: {
              mode: NamespaceMode.POD,
              uids: [{ hostId: 131072, containerId: 0, length: 65536 }],
              gids: [{ hostId: 131072, containerId: 0, length: 65536 }],
            },
          },
        },
      },
    }),
  });
  const { engine } = facts();
  const unregistered = facts({ engine: { ...engine, editing: undefined } });
  const older = facts({
    engine: { ...engine, editing: { name: "dockline", recursiveReadOnly: true } },
  });
  const mount = (of: object): Adjustment => ({
    mounts: [{ destination: "/d", source: "/s", type: "bind", ...of }],
  });
  const refusals: [string, string, Adjustment, AdjustmentFacts?][] = [
    [
      'annotations "io.containerd.runc.v2.group"',
      meaningless,
      { annotations: { "io.containerd.runc.v2.group": "x" } },
    ],
    ['annotations "bundle"', meaningless, { annotations: { "-bundle": "" } }],
    [
      'annotations "org.systemd.property.X"',
      meaningless,
      { annotations: { "org.systemd.property.X": "1" } },
    ],
    ['annotations "org.criu.config"', meaningless, { annotations: { "org.criu.config": "1" } }],
    ['mounts "d"', meaningless, mount({ destination: "d" })],
    ['mounts "/d"', meaningless, mount({ source: "s" })],
    ['mounts "/d"', never, mount({ options: ["relabel"] })],
    ['mounts "/d"', node, mount({ options: ["rbind", "nosuch"] })],
    ['mounts "/d"', node, mount({ source: "/private/x", options: ["rslave"] })],
    ['mounts "/d"', node, mount({ source: "/slave/x", options: ["rshared"] })],
    ["hooks.prestart", meaningless, { hooks: { prestart: [{ path: "x" }] } }],
    ["hooks.prestart", node, { hooks: { prestart: [{ path: "/x" }] } }, facts({}, {})],
    ['linux.devices "/x"', meaningless, linux({ devices: [{ path: "/x", type: "z" }] })],
    ['env "A="', meaningless, { env: [{ key: "A=" }] }],
    ['env ""', meaningless, { env: [{ key: "-" }] }],
    ['env "A"', meaningless, { env: [{ key: "A", value: "\0" }] }],
    ["args", meaningless, { args: ["", "x"] }],
    [
      "linux.resources.memory.reservation",
      meaningless,
      resources({ memory: { limit: { value: 1n << 23n }, reservation: { value: 1n << 24n } } }),
    ],
    [
      "linux.resources.memory.swap",
      meaningless,
      resources({ memory: { limit: { value: 1n << 24n }, swap: { value: 1n << 23n } } }),
    ],
    ["linux.resources.memory.kernel", never, resources({ memory: { kernel: one } })],
    ["linux.resources.memory.kernel_tcp", never, resources({ memory: { kernelTcp: one } })],
    [
      "linux.resources.memory.use_hierarchy",
      never,
      resources({ memory: { useHierarchy: { value: false } } }),
    ],
    ["linux.resources.memory.swappiness", node, resources({ memory: { swappiness: one } })],
    [
      "linux.resources.memory.disable_oom_killer",
      node,
      resources({ memory: { disableOomKiller: { value: true } } }),
    ],
    ["linux.resources.cpu.realtime_runtime", node, resources({ cpu: { realtimeRuntime: one } })],
    ["linux.resources.cpu.realtime_period", node, resources({ cpu: { realtimePeriod: one } })],
    ["linux.resources.cpu.cpus", meaningless, resources({ cpu: { cpus: "x" } })],
    ["linux.resources.cpu.quota", meaningless, resources({ cpu: { quota: { value: -5n } } })],
    [
      'linux.resources.hugepage_limits "3kB"',
      meaningless,
      resources({ hugepageLimits: [{ pageSize: "3kB" }] }),
    ],
    ["linux.resources.blockio_class", never, resources({ blockioClass: { value: "gold" } })],
    [
      "linux.resources.rdt_class",
      node,
      resources({ rdtClass: { value: "gold" } }),
      facts({ mountinfo: "" }),
    ],
    ["linux.resources.rdt_class", meaningless, resources({ rdtClass: { value: "../x" } })],
    ["linux.rdt.schemata", node, linux({ rdt: { schemata: { value: ["x"] } } }), facts({}, runc11)],
    [
      'linux.resources.unified "memory.high"',
      node,
      resources({ unified: { "memory.high": "1" } }),
      v1,
    ],
    [
      'linux.resources.unified "cgroup.procs"',
      meaningless,
      resources({ unified: { "cgroup.procs": "1" } }),
    ],
    ["linux.cgroups_path", never, linux({ cgroupsPath: "/x" })],
    ["linux.oom_score_adj", meaningless, linux({ oomScoreAdj: { value: 1001n } })],
    ['rlimits "NOFILE"', meaningless, { rlimits: [{ type: "NOFILE" }] }],
    [
      'rlimits "RLIMIT_CPU"',
      meaningless,
      { rlimits: [{ type: "RLIMIT_CPU", soft: 2n, hard: 1n }] },
    ],
    [
      "linux.io_priority",
      node,
      linux({ ioPriority: { class: IOPrioClass.IOPRIO_CLASS_RT } }),
      facts({}, runc11),
    ],
    [
      "linux.io_priority",
      meaningless,
      linux({ ioPriority: { class: IOPrioClass.IOPRIO_CLASS_RT, priority: 8 } }),
    ],
    [
      "linux.scheduler",
      node,
      linux({ scheduler: { policy: LinuxSchedulerPolicy.SCHED_OTHER } }),
      facts({}, runc11),
    ],
    ["linux.scheduler", meaningless, linux({ scheduler: { policy: unknownEnum(99) } })],
    ["linux.seccomp_policy", node, linux({ seccompPolicy: { defaultAction: "SCMP_ACT_NOTIFY" } })],
    [
      "linux.seccomp_policy",
      node,
      linux({ seccompPolicy: { defaultAction: "SCMP_ACT_ALLOW", architectures: ["X"] } }),
    ],
    [
      "linux.seccomp_policy",
      node,
      linux({ seccompPolicy: { defaultAction: "SCMP_ACT_ALLOW", flags: ["X"] } }),
    ],
    [
      "linux.seccomp_policy",
      node,
      linux({ seccompPolicy: { defaultAction: "SCMP_ACT_ALLOW" } }),
      facts({}, {}),
    ],
    ['linux.namespaces "user"', never, linux({ namespaces: [{ type: "user" }] })],
    ['linux.namespaces "mount"', never, linux({ namespaces: [{ type: "-mount" }] })],
    ['linux.namespaces "pid"', node, linux({ namespaces: [{ type: "pid" }] }), userns],
    ['linux.namespaces "ipc"', meaningless, linux({ namespaces: [{ type: "ipc", path: "x" }] })],
    ['linux.namespaces "time"', node, linux({ namespaces: [{ type: "time" }] }), facts({}, runc11)],
    ['linux.sysctl "vm.swappiness"', meaningless, linux({ sysctl: { "vm.swappiness": "1" } })],
    [
      'linux.sysctl "net.ipv4.x"',
      meaningless,
      linux({ sysctl: { "net.ipv4.x": "1" } }),
      hostNetwork,
    ],
    ['linux.net_devices "eth1"', node, linux({ netDevices: { eth1: {} } }), facts({}, runc11)],
    ['linux.net_devices "eth1"', node, linux({ netDevices: { eth1: {} } }), hostNetwork],
    ['linux.net_devices "a/b"', meaningless, linux({ netDevices: { "a/b": {} } })],
    ["linux.memory_policy", node, linux({ memoryPolicy: { mode: MpolMode.MPOL_INTERLEAVE } })],
    [
      "linux.memory_policy",
      meaningless,
      linux({ memoryPolicy: { mode: MpolMode.MPOL_BIND, nodes: "x" } }),
    ],
    ["linux.resources.devices", meaningless, resources({ devices: [{ type: "x" }] })],
    ["args", node, { args: ["x"] }, unregistered],
    ['rlimits "RLIMIT_CPU"', node, { rlimits: [{ type: "RLIMIT_CPU" }] }, older],
  ];
  for (const [field, kind, adjust, given] of refusals) {
    const text = JSON.stringify(adjust, (_, v: unknown) => (typeof v === "bigint" ? `${v}` : v));
    it(`${field} is refused as ${kind}: ${text}`, () => {
      const [actual, message] = refusal(adjust, given);
      const plugin = field === "linux.resources.devices" ? "" : " plugin 10-p";
      expect(message.startsWith(`NRI${plugin}: ${field}: `), message).to.equal(true);
      expect(actual).to.equal(kind);
    });
  }
});
