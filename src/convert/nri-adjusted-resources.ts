import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import type { ResourceConfig } from "../engine/types.ts";
import { Field, type LinuxResources } from "../gen/nri/v1alpha1/api_pb.js";
import { LinuxContainerResourcesSchema } from "../gen/runtime/v1/api_pb.js";
import type { LinuxContainerResources } from "../gen/runtime/v1/api_pb.js";
import type { EngineFacts } from "./engine-facts.ts";
import { copyRecord, emptyRecord } from "./field-checks.ts";
import { toDockerBytes } from "./memory-limits.ts";
import type { FieldName, Refusals } from "./nri-refusal.ts";
import { mergeResources, planResources, type ResourceFacts } from "./resources.ts";

/** Resources of NRI in the words of the CRI and, where it has none, of Docker's update. */
export interface ResourceChange {
  readonly resources: LinuxContainerResources;
  readonly docker: Pick<ResourceConfig, "MemoryReservation" | "PidsLimit">;
}

type Facts = ResourceFacts & Pick<EngineFacts, "cgroupVersion">;

const name = (path: string, field: Field, key?: string): FieldName => ({
  name: `linux.resources.${path}`,
  field,
  ...(key === undefined ? {} : { key }),
});

/**
 * What a plugin sets of a container's resources, checked as an update is. Zero and absent are "not said", and -1 lifts
 * a limit, as in UpdateContainerResources. Classes and device rules are not looked at.
 *
 * @param before what holds until then
 * @returns undefined when nothing of it is set
 * @throws CriError naming plugin and field
 */
export function toResourceChange(
  asked: LinuxResources | undefined,
  before: LinuxContainerResources | undefined,
  facts: Facts,
  refusals: Refusals,
): ResourceChange | undefined {
  if (asked === undefined) return undefined;
  refuseUnknown(asked, facts, refusals);
  const { memory, cpu, pids } = asked;
  const limit = memory?.limit?.value ?? 0n;
  const swap = memory?.swap?.value ?? 0n;
  const resources = create(LinuxContainerResourcesSchema, {
    // Docker takes both together, and its sum includes the limit.
    memoryLimitInBytes: limit === 0n && swap !== 0n ? (before?.memoryLimitInBytes ?? 0n) : limit,
    memorySwapLimitInBytes: swap,
    cpuShares: cpu?.shares?.value ?? 0n,
    cpuQuota: cpu?.quota?.value ?? 0n,
    cpuPeriod: cpu?.period?.value ?? 0n,
    cpusetCpus: cpu?.cpus ?? "",
    cpusetMems: cpu?.mems ?? "",
    hugepageLimits: asked.hugepageLimits.map(({ pageSize, limit: bytes }) => ({
      pageSize,
      limit: bytes,
    })),
  });
  resources.unified = copyRecord(asked.unified);
  checkOneByOne(resources, facts, refusals);
  const merged = mergeResources(before, resources);
  const reservation = memory?.reservation?.value ?? 0n;
  const reserved = name("memory.reservation", Field.MemReservation);
  if (reservation < 0n) {
    throw refusals.of(reserved, "InvalidArgument", `${reservation} is not a number of bytes`);
  }
  if (merged.memoryLimitInBytes > 0n && reservation > merged.memoryLimitInBytes) {
    throw refusals.of(
      reserved,
      "InvalidArgument",
      `${reservation} is above the memory limit of ${merged.memoryLimitInBytes}`,
    );
  }
  const docker = {
    ...(reservation === 0n ? {} : { MemoryReservation: toDockerBytes(reservation) }),
    ...(pids === undefined ? {} : { PidsLimit: pids.limit <= 0n ? -1 : Number(pids.limit) }),
  };
  const isSet = !isEmpty(resources) || Object.keys(docker).length > 0;
  return isSet ? { resources, docker } : undefined;
}

/** Each part by itself, so that the refusal names its field and its plugin. */
function checkOneByOne(asked: LinuxContainerResources, facts: Facts, refusals: Refusals): void {
  const check = (
    field: FieldName,
    part: MessageInitShape<typeof LinuxContainerResourcesSchema>,
  ): void => {
    refusals.within(field, () =>
      planResources(create(LinuxContainerResourcesSchema, part), facts, true),
    );
  };
  const { memoryLimitInBytes, memorySwapLimitInBytes, cpuPeriod } = asked;
  check(name("memory.limit", Field.MemLimit), { memoryLimitInBytes });
  check(name("memory.swap", Field.MemSwapLimit), { memoryLimitInBytes, memorySwapLimitInBytes });
  check(name("cpu.shares", Field.CPUShares), { cpuShares: asked.cpuShares });
  check(name("cpu.period", Field.CPUPeriod), { cpuPeriod });
  check(name("cpu.quota", Field.CPUQuota), { cpuQuota: asked.cpuQuota, cpuPeriod });
  check(name("cpu.cpus", Field.CPUSetCPUs), { cpusetCpus: asked.cpusetCpus });
  check(name("cpu.mems", Field.CPUSetMems), { cpusetMems: asked.cpusetMems });
  for (const one of asked.hugepageLimits) {
    check(name("hugepage_limits", Field.HugepageLimits, one.pageSize), { hugepageLimits: [one] });
  }
  for (const key of Object.keys(asked.unified)) {
    const field = name("unified", Field.CgroupsUnified, key);
    if (facts.cgroupVersion === 1) {
      throw refusals.of(field, "FailedPrecondition", "this node has cgroup v1");
    }
    const unified = emptyRecord();
    unified[key] = asked.unified[key] ?? "";
    refusals.within(field, () => {
      const resources = create(LinuxContainerResourcesSchema);
      resources.unified = unified;
      planResources(resources, facts, true);
    });
  }
}

/** What no runtime carries out any more, or not with this kernel's cgroups. */
function refuseUnknown({ memory, cpu }: LinuxResources, facts: Facts, refusals: Refusals): void {
  if ((memory?.kernel?.value ?? 0n) !== 0n) {
    const field = name("memory.kernel", Field.MemKernelLimit);
    throw refusals.of(field, "Unimplemented", "the kernel no longer has such a limit");
  }
  if ((memory?.kernelTcp?.value ?? 0n) !== 0n) {
    const field = name("memory.kernel_tcp", Field.MemTCPLimit);
    throw refusals.of(field, "Unimplemented", "OCI runtimes no longer set such a limit");
  }
  if (memory?.useHierarchy?.value === false) {
    const field = name("memory.use_hierarchy", Field.MemUseHierarchy);
    throw refusals.of(field, "Unimplemented", "every cgroup counts those below it");
  }
  if (facts.cgroupVersion === 1) return;
  const v1Only = [
    ["memory.swappiness", Field.MemSwappiness, memory?.swappiness !== undefined],
    ["memory.disable_oom_killer", Field.MemDisableOomKiller, memory?.disableOomKiller?.value],
    ["cpu.realtime_runtime", Field.CPURealtimeRuntime, cpu?.realtimeRuntime?.value],
    ["cpu.realtime_period", Field.CPURealtimePeriod, cpu?.realtimePeriod?.value],
  ] as const;
  for (const [path, field, isSet] of v1Only) {
    if (!isSet) continue;
    throw refusals.of(name(path, field), "FailedPrecondition", "cgroup v2 does not have it");
  }
}

/** What cgroup v1 alone has, for the OCI spec; undefined when nothing of it is set. */
export function v1Resources(
  asked: LinuxResources | undefined,
): Record<string, unknown> | undefined {
  const { swappiness, disableOomKiller } = asked?.memory ?? {};
  const runtime = asked?.cpu?.realtimeRuntime?.value ?? 0n;
  const period = asked?.cpu?.realtimePeriod?.value ?? 0n;
  const memory = {
    ...(swappiness === undefined ? {} : { swappiness: Number(swappiness.value) }),
    ...(disableOomKiller?.value === true ? { disableOOMKiller: true } : {}),
  };
  const cpu = {
    ...(runtime === 0n ? {} : { realtimeRuntime: Number(runtime) }),
    ...(period === 0n ? {} : { realtimePeriod: Number(period) }),
  };
  const all = {
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
  };
  return Object.keys(all).length === 0 ? undefined : all;
}

const isEmpty = (resources: LinuxContainerResources): boolean =>
  equals(LinuxContainerResourcesSchema, resources, create(LinuxContainerResourcesSchema));

/**
 * The resources of a ContainerUpdate for a container that exists.
 *
 * @param atCreate its classes, as an adjustment set them: saying them again is no change
 * @returns undefined when nothing is set
 * @throws CriError naming plugin and field; also for what cannot be changed after the create
 */
export function toUpdateChange(
  asked: LinuxResources | undefined,
  before: LinuxContainerResources | undefined,
  facts: Facts,
  refusals: Refusals,
  atCreate: { readonly blockioClass?: string; readonly rdtClass?: string } = {},
): ResourceChange | undefined {
  if (asked === undefined) return undefined;
  const classes = [
    ["blockio_class", Field.BlockioClass, asked.blockioClass?.value, atCreate.blockioClass],
    ["rdt_class", Field.RdtClass, asked.rdtClass?.value, atCreate.rdtClass],
  ] as const;
  for (const [path, field, value, known] of classes) {
    if (value === undefined || value === "" || value === known) continue;
    throw refusals.of(name(path, field), "Unimplemented", "cannot change after the create");
  }
  const v1 = v1Resources(asked);
  const rules = asked.devices.length > 0;
  if (rules || (facts.cgroupVersion === 1 && v1 !== undefined)) {
    const path = rules ? "devices" : Object.keys(v1 ?? {}).join(", ");
    const field = { name: `linux.resources.${path}` };
    throw refusals.of(field, "Unimplemented", "cannot change after the create");
  }
  return toResourceChange(asked, before, facts, refusals);
}
