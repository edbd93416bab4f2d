import { clone, create } from "@bufbuild/protobuf";
import { invalidArgument } from "../errors.ts";
import type { ResourceConfig } from "../engine/types.ts";
import {
  HugepageLimitSchema,
  LinuxContainerResourcesSchema,
  type LinuxContainerResources,
} from "../gen/runtime/v1/api_pb.js";
import { cgroupWrite, checkUnified, hugepageWrites, type CgroupWrite } from "./cgroup-writes.ts";
import type { EngineFacts } from "./engine-facts.ts";
import { copyRecord, requireSafeInteger } from "./field-checks.ts";
import type { InspectFacts } from "./inspect-facts.ts";
import {
  DOCKER_MIN_MEMORY,
  parseUnifiedBytes,
  planMemory,
  toDockerBytes,
} from "./memory-limits.ts";

export interface ResourcePlan {
  /** For HostConfig on create, for the body of Docker's update afterwards. */
  readonly docker: ResourceConfig;
  /** Of the container's processes; undefined is "not specified". Docker cannot update it. */
  readonly oomScoreAdj: number | undefined;
  /** Cgroup files to write right after start, or after Docker's update (which may reset them). */
  readonly hostWrites: CgroupWrite[];
}

export type ResourceFacts = Pick<EngineFacts, "cgroupVersion" | "oomScoreFloor" | "hugepages">;

const CPUSET = /^[0-9][0-9,-]{0,4095}$/;
const PIDS = /^(?:max|[0-9]{1,10})$/;
const MIN_QUOTA_US = 1000n;
/** The kernel's own limits. */
const MAX_SHARES = 262_144n;
const MAX_QUOTA_US = (1n << 44n) - 1n;
const MAX_PERIOD_US = 1_000_000n;
/** Docker's and the kernel's, where none is asked for. */
const DEFAULT_PERIOD_US = 100_000;

/** The keys of `unified` that Docker's own fields express, pids.max but for 0. */
const DOCKER_KEYS = ["memory.max", "memory.swap.max", "cpuset.cpus", "cpuset.mems", "pids.max"];

/**
 * LinuxContainerResources → Docker's fields and cgroup writes. Zero and empty mean "not specified":
 * no limit on create, unchanged on update. -1 lifts a CPU quota or memory limit.
 *
 * @throws InvalidArgument naming the field
 */
export function planResources(
  resources: LinuxContainerResources | undefined,
  facts: ResourceFacts,
  update = false,
): ResourcePlan {
  if (resources === undefined) return { docker: {}, oomScoreAdj: undefined, hostWrites: [] };
  checkUnified(resources.unified, facts.cgroupVersion);
  const memory = planMemory(resources, facts.cgroupVersion, update);
  const { unified } = resources;
  const cpus = cpuset("cpuset_cpus", unified["cpuset.cpus"] ?? resources.cpusetCpus);
  const mems = cpuset("cpuset_mems", unified["cpuset.mems"] ?? resources.cpusetMems);
  const hugepages = hugepageWrites(resources.hugepageLimits, facts.cgroupVersion);
  const { docker: pidsLimit, hostWrites: rest } = pids(unified["pids.max"]);
  let reservation: number | undefined;
  for (const key of Object.keys(unified)) {
    const value = unified[key] ?? "";
    if (DOCKER_KEYS.includes(key)) continue;
    if (key === "memory.low") reservation = toReservation(value, memory.docker.Memory);
    if (key === "memory.low" && reservation !== undefined) continue;
    rest.push(cgroupWrite(key, value));
  }
  return {
    docker: {
      ...cpu(resources, update),
      ...memory.docker,
      ...(cpus === "" ? {} : { CpusetCpus: cpus }),
      ...(mems === "" ? {} : { CpusetMems: mems }),
      ...(reservation === undefined ? {} : { MemoryReservation: reservation }),
      ...pidsLimit,
    },
    oomScoreAdj: oomScoreAdj(resources.oomScoreAdj, facts),
    hostWrites: [
      ...memory.hostWrites,
      ...rest,
      // Checked in any case; without the controller there is no file that could hold them.
      ...(facts.hugepages === false ? [] : hugepages),
    ],
  };
}

/** What holds after an update: its specified parts over what held before. */
export function mergeResources(
  before: LinuxContainerResources | undefined,
  update: LinuxContainerResources,
): LinuxContainerResources {
  if (before === undefined) return clone(LinuxContainerResourcesSchema, update);
  const pick = (next: bigint, previous: bigint): bigint => (next === 0n ? previous : next);
  const hugepages = new Map(before.hugepageLimits.map((limit) => [limit.pageSize, limit]));
  for (const limit of update.hugepageLimits) hugepages.set(limit.pageSize, limit);
  const unified = copyRecord(before.unified);
  for (const key of Object.keys(update.unified)) unified[key] = update.unified[key] ?? "";
  return create(LinuxContainerResourcesSchema, {
    cpuPeriod: pick(update.cpuPeriod, before.cpuPeriod),
    cpuQuota: pick(update.cpuQuota, before.cpuQuota),
    cpuShares: pick(update.cpuShares, before.cpuShares),
    memoryLimitInBytes: pick(update.memoryLimitInBytes, before.memoryLimitInBytes),
    memorySwapLimitInBytes:
      // A new memory limit brings its own swap; the old sum would be stale.
      update.memoryLimitInBytes === 0n
        ? pick(update.memorySwapLimitInBytes, before.memorySwapLimitInBytes)
        : update.memorySwapLimitInBytes,
    oomScoreAdj: pick(update.oomScoreAdj, before.oomScoreAdj),
    cpusetCpus: update.cpusetCpus === "" ? before.cpusetCpus : update.cpusetCpus,
    cpusetMems: update.cpusetMems === "" ? before.cpusetMems : update.cpusetMems,
    hugepageLimits: [...hugepages.values()].map((limit) => clone(HugepageLimitSchema, limit)),
    unified,
  });
}

/**
 * The resources for ContainerStatus: what was asked last, except where Docker's own fields say that
 * somebody changed them since (`docker update`). Values that Docker rounds (quota) or cannot hold
 * (below its floors, unified, huge pages) are given back as asked; without a stored request (legacy
 * containers) Docker's fields are all there is.
 */
export function fromHostConfig(
  hostConfig: InspectFacts["HostConfig"],
  requested: LinuxContainerResources | undefined,
  facts: ResourceFacts,
): LinuxContainerResources {
  const schema = LinuxContainerResourcesSchema;
  const asked = requested === undefined ? create(schema) : clone(schema, requested);
  const expected = plannedOrNothing(requested, facts);
  const changed = (field: keyof ResourceConfig): boolean =>
    (hostConfig[field] || 0) !== (expected.docker[field] || 0);
  if (changed("CpuShares")) asked.cpuShares = BigInt(hostConfig.CpuShares ?? 0);
  if (changed("CpuPeriod")) asked.cpuPeriod = BigInt(hostConfig.CpuPeriod ?? 0);
  if (changed("CpuQuota")) asked.cpuQuota = BigInt(hostConfig.CpuQuota ?? 0);
  if (changed("CpusetCpus")) asked.cpusetCpus = hostConfig.CpusetCpus ?? "";
  if (changed("CpusetMems")) asked.cpusetMems = hostConfig.CpusetMems ?? "";
  const ownMemory = asked.memoryLimitInBytes !== 0n && asked.memoryLimitInBytes < DOCKER_MIN_MEMORY;
  if (ownMemory) {
    // Only the cgroup has it; Docker still shows what held before.
    if (asked.memoryLimitInBytes < 0n) asked.memoryLimitInBytes = 0n;
  } else if (changed("Memory") || (hostConfig.Memory && swapChanged(hostConfig, expected.docker))) {
    asked.memoryLimitInBytes = BigInt(hostConfig.Memory ?? 0);
    asked.memorySwapLimitInBytes = BigInt(hostConfig.MemorySwap ?? 0);
    delete asked.unified["memory.max"];
    delete asked.unified["memory.swap.max"];
  }
  // Docker cannot update it: its field stays as it was at the create.
  if (asked.oomScoreAdj === 0n) asked.oomScoreAdj = BigInt(hostConfig.OomScoreAdj ?? 0);
  return asked;
}

/** Kernels without swap accounting make Docker replace the swap limit by -1. */
function swapChanged(hostConfig: InspectFacts["HostConfig"], expected: ResourceConfig): boolean {
  const swap = hostConfig.MemorySwap ?? 0;
  return swap !== -1 && swap !== (expected.MemorySwap ?? 0);
}

/** A stored request comes from a label: what no longer translates is taken as "nothing asked". */
function plannedOrNothing(
  requested: LinuxContainerResources | undefined,
  facts: ResourceFacts,
): ResourcePlan {
  try {
    return planResources(requested, facts);
  } catch {
    return planResources(undefined, facts);
  }
}

/** Raised to what this host permits; undefined when not specified. */
function oomScoreAdj(value: bigint, facts: ResourceFacts): number | undefined {
  const score = requireSafeInteger("resources.oom_score_adj", value, -1000n, 1000n);
  return score === 0 ? undefined : Math.max(score, facts.oomScoreFloor);
}

function cpu(resources: LinuxContainerResources, update: boolean): ResourceConfig {
  let shares = requireSafeInteger("resources.cpu_shares", resources.cpuShares, 0n, MAX_SHARES);
  // What the kernel makes of it; runc compares and takes the difference for a failure.
  if (shares === 1) shares = 2;
  let period = requireSafeInteger("resources.cpu_period", resources.cpuPeriod, 0n, MAX_PERIOD_US);
  if (period !== 0 && period < MIN_QUOTA_US) {
    throw invalidArgument(`resources.cpu_period: ${period} is below 1000 µs`);
  }
  let quota = requireSafeInteger("resources.cpu_quota", resources.cpuQuota, -1n, MAX_QUOTA_US);
  if (quota > 0 && quota < MIN_QUOTA_US) {
    // Docker and the kernel refuse less than 1 ms in a period: a longer period keeps the share. Without a
    // period in an update the container's own is unknown here.
    if (period === 0 && !update) period = DEFAULT_PERIOD_US;
    const scale = Number(MIN_QUOTA_US) / quota;
    if (period !== 0) period = Math.min(Math.round(period * scale), Number(MAX_PERIOD_US));
    quota = Number(MIN_QUOTA_US);
  }
  return {
    ...(shares === 0 ? {} : { CpuShares: shares }),
    ...(period === 0 ? {} : { CpuPeriod: period }),
    ...(quota === 0 ? {} : { CpuQuota: quota }),
  };
}

function cpuset(field: string, value: string): string {
  if (value !== "" && !CPUSET.test(value)) {
    throw invalidArgument(`resources.${field}: not a list of numbers and ranges`);
  }
  return value;
}

function pids(value: string | undefined): Pick<ResourcePlan, "docker" | "hostWrites"> {
  if (value === undefined) return { docker: {}, hostWrites: [] };
  if (!PIDS.test(value))
    throw invalidArgument('resources.unified["pids.max"]: not a number or "max"');
  // Docker's 0 is no limit; the kernel's lets nothing fork.
  if (Number(value) === 0) return { docker: {}, hostWrites: [cgroupWrite("pids.max", value)] };
  return { docker: { PidsLimit: value === "max" ? -1 : Number(value) }, hostWrites: [] };
}

/** memory.low as Docker's reservation, where Docker accepts it; else undefined: a cgroup write. */
function toReservation(value: string, memory: number | undefined): number | undefined {
  const low = parseUnifiedBytes("memory.low", value);
  if (low < DOCKER_MIN_MEMORY) return undefined;
  const bytes = toDockerBytes(low);
  return memory !== undefined && memory < bytes ? undefined : bytes;
}
