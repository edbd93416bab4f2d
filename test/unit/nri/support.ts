import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ContainerUpdateSchema,
  CreateContainerRequestSchema,
  CreateContainerResponseSchema,
  IOPrioClass,
  LinuxSchedulerPolicy,
  UpdateContainerRequestSchema,
  UpdateContainerResponseSchema,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import type {
  ContainerAdjustmentSchema,
  ContainerSchema,
  ContainerUpdate,
  CreateContainerRequest,
  CreateContainerResponse,
  LinuxResourcesSchema,
  UpdateContainerRequest,
  UpdateContainerResponse,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import { CriError } from "../../../src/errors.ts";
import type { ValidatorOptions } from "../../../src/nri/adjust.ts";
import { createMerging } from "../../../src/nri/merging.ts";

/** The kind of what an action throws. */
export function kindThrown(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    return error instanceof CriError ? error.kind : String(error);
  }
  return undefined;
}

export const noValidator: ValidatorOptions = {
  enabled: false,
  rejectOciHookAdjustment: false,
  rejectRuntimeDefaultSeccompAdjustment: false,
  rejectUnconfinedSeccompAdjustment: false,
  rejectCustomSeccompAdjustment: false,
  rejectNamespaceAdjustment: false,
  rejectSysctlAdjustment: false,
  requiredPlugins: [],
  tolerateMissingPluginsAnnotation: "",
};

export const merging = createMerging(noValidator);

export type Adjustment = MessageInitShape<typeof ContainerAdjustmentSchema>;
export type Resources = MessageInitShape<typeof LinuxResourcesSchema>;

export const createRequest = (
  container: MessageInitShape<typeof ContainerSchema> = {},
): CreateContainerRequest =>
  create(CreateContainerRequestSchema, { container: { id: "new", ...container } });

export const answer = (
  adjust: Adjustment,
  update: readonly ContainerUpdate[] = [],
): CreateContainerResponse =>
  create(CreateContainerResponseSchema, { adjust, update: [...update] });

export const update = (
  containerId: string,
  resources: Resources,
  ignoreFailure = false,
): ContainerUpdate =>
  create(ContainerUpdateSchema, { containerId, linux: { resources }, ignoreFailure });

export const updateRequest = (id: string, linuxResources: Resources): UpdateContainerRequest =>
  create(UpdateContainerRequestSchema, { container: { id }, linuxResources });

export const updates = (...list: readonly ContainerUpdate[]): UpdateContainerResponse =>
  create(UpdateContainerResponseSchema, { update: [...list] });

const mpol = { mode: 2, nodes: "0" };
const seccomp = { defaultAction: "SCMP_ACT_ALLOW" };
const resources = (of: Resources): Adjustment => ({ linux: { resources: of } });
const memory = (of: NonNullable<Resources["memory"]>): Adjustment => resources({ memory: of });
const cpu = (of: NonNullable<Resources["cpu"]>): Adjustment => resources({ cpu: of });
const one = { value: 1n };

/** One way to set each field of `Field`, by its name there; hooks alone have no owner. */
export const waysToSet: Readonly<Record<string, Adjustment>> = {
  Annotations: { annotations: { k: "v" } },
  Mounts: { mounts: [{ destination: "/k", source: "/v", type: "bind" }] },
  Devices: { linux: { devices: [{ path: "/k", type: "c" }] } },
  CdiDevices: { CDIDevices: [{ name: "v/c=k" }] },
  Env: { env: [{ key: "k", value: "v" }] },
  Args: { args: ["v"] },
  MemLimit: memory({ limit: one }),
  MemReservation: memory({ reservation: one }),
  MemSwapLimit: memory({ swap: one }),
  MemKernelLimit: memory({ kernel: one }),
  MemTCPLimit: memory({ kernelTcp: one }),
  MemSwappiness: memory({ swappiness: one }),
  MemDisableOomKiller: memory({ disableOomKiller: { value: true } }),
  MemUseHierarchy: memory({ useHierarchy: { value: true } }),
  CPUShares: cpu({ shares: one }),
  CPUQuota: cpu({ quota: one }),
  CPUPeriod: cpu({ period: one }),
  CPURealtimeRuntime: cpu({ realtimeRuntime: one }),
  CPURealtimePeriod: cpu({ realtimePeriod: one }),
  CPUSetCPUs: cpu({ cpus: "0" }),
  CPUSetMems: cpu({ mems: "0" }),
  PidsLimit: resources({ pids: { limit: 1n } }),
  HugepageLimits: resources({ hugepageLimits: [{ pageSize: "k", limit: 1n }] }),
  BlockioClass: resources({ blockioClass: { value: "v" } }),
  RdtClass: resources({ rdtClass: { value: "v" } }),
  CgroupsUnified: resources({ unified: { k: "v" } }),
  CgroupsPath: { linux: { cgroupsPath: "/v" } },
  OomScoreAdj: { linux: { oomScoreAdj: one } },
  Rlimits: { rlimits: [{ type: "k", hard: 1n, soft: 1n }] },
  IoPriority: { linux: { ioPriority: { class: IOPrioClass.IOPRIO_CLASS_RT, priority: 1 } } },
  SeccompPolicy: { linux: { seccompPolicy: seccomp } },
  Namespace: { linux: { namespaces: [{ type: "k", path: "/v" }] } },
  Sysctl: { linux: { sysctl: { k: "v" } } },
  LinuxNetDevices: { linux: { netDevices: { k: { name: "v" } } } },
  LinuxSched: { linux: { scheduler: { policy: LinuxSchedulerPolicy.SCHED_OTHER } } },
  RdtClosID: { linux: { rdt: { closId: { value: "v" } } } },
  RdtSchemata: { linux: { rdt: { schemata: { value: ["v"] } } } },
  RdtEnableMonitoring: { linux: { rdt: { enableMonitoring: { value: true } } } },
  MemoryPolicy: { linux: { memoryPolicy: mpol } },
};

/** For fields that can be removed: the removal alone, and the removal with another value in one answer. */
export const waysToRemove: Readonly<Record<string, { remove: Adjustment; override: Adjustment }>> =
  {
    Annotations: {
      remove: { annotations: { "-k": "" } },
      override: { annotations: { "-k": "", k: "w" } },
    },
    Mounts: {
      remove: { mounts: [{ destination: "-/k" }] },
      override: { mounts: [{ destination: "-/k" }, { destination: "/k", source: "/w" }] },
    },
    Devices: {
      remove: { linux: { devices: [{ path: "-/k" }] } },
      override: { linux: { devices: [{ path: "-/k" }, { path: "/k", type: "b" }] } },
    },
    Env: {
      remove: { env: [{ key: "-k" }] },
      override: { env: [{ key: "-k" }, { key: "k", value: "w" }] },
    },
    Args: { remove: { args: [""] }, override: { args: ["", "w"] } },
    Sysctl: {
      remove: { linux: { sysctl: { "-k": "" } } },
      override: { linux: { sysctl: { "-k": "", k: "w" } } },
    },
    LinuxNetDevices: {
      remove: { linux: { netDevices: { "-k": {} } } },
      override: { linux: { netDevices: { "-k": {}, k: { name: "w" } } } },
    },
    RdtClosID: {
      remove: { linux: { rdt: { remove: true } } },
      override: { linux: { rdt: { remove: true, closId: { value: "w" } } } },
    },
  };
