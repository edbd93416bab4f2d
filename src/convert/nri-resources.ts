import { create } from "@bufbuild/protobuf";
import type { HostConfig } from "../engine/types.ts";
import { LinuxResourcesSchema, type LinuxResources } from "../gen/nri/v1alpha1/api_pb.js";
import type { LinuxContainerResources } from "../gen/runtime/v1/api_pb.js";

/**
 * Resources as the CRI asks for them → what plugins see.
 *
 * @param zeros "kept" for UpdateContainer, whose shares, quota, period and memory limit are always there; else what is
 * 0 is absent, which is "not set"
 */
export function toNriResources(
  resources: LinuxContainerResources,
  zeros: "kept" | "absent" = "absent",
): LinuxResources {
  const number = (value: bigint) => (value === 0n && zeros === "absent" ? undefined : { value });
  const swap = resources.memorySwapLimitInBytes;
  return create(
    LinuxResourcesSchema,
    defined({
      memory: defined({
        limit: number(resources.memoryLimitInBytes),
        swap: swap === 0n ? undefined : { value: swap },
      }),
      cpu: defined({
        shares: number(resources.cpuShares),
        quota: number(resources.cpuQuota),
        period: number(resources.cpuPeriod),
        cpus: resources.cpusetCpus,
        mems: resources.cpusetMems,
      }),
      hugepageLimits: resources.hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit })),
      unified: resources.unified,
    }),
  );
}

/** The same of what Docker says, for containers whose request is not known. */
export function hostConfigResources(host: Partial<HostConfig>): LinuxResources {
  const number = (value: number | null | undefined) =>
    value === undefined || value === null || value === 0
      ? undefined
      : { value: BigInt(Math.trunc(value)) };
  const pids = number(host.PidsLimit);
  return create(
    LinuxResourcesSchema,
    defined({
      memory: defined({
        limit: number(host.Memory),
        swap: number(host.MemorySwap),
        reservation: number(host.MemoryReservation),
      }),
      cpu: defined({
        shares: number(host.CpuShares),
        quota: number(host.CpuQuota),
        period: number(host.CpuPeriod),
        cpus: host.CpusetCpus ?? "",
        mems: host.CpusetMems ?? "",
      }),
      pids: pids === undefined ? undefined : { limit: pids.value },
    }),
  );
}

/** Without members that are undefined: a message's optional fields are absent instead. */
export function defined<T extends object>(
  members: T,
): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
