import { invalidArgument } from "../errors.ts";
import type { ResourceConfig } from "../engine/types.ts";
import type { LinuxContainerResources } from "../gen/runtime/v1/api_pb.js";
import { cgroupWrite, type CgroupWrite } from "./cgroup-writes.ts";

/** Docker refuses any limit below. */
export const DOCKER_MIN_MEMORY = 6n * 1024n * 1024n;
const PAGE = 4096n;
const DECIMAL = /^[0-9]{1,19}$/;
const UNLIMITED = -1n;

export interface MemoryPlan {
  readonly docker: Pick<ResourceConfig, "Memory" | "MemorySwap">;
  readonly hostWrites: CgroupWrite[];
}

/** Bytes as a JSON number. Above 2^53 it is rounded down to a page, as the kernel does anyway. */
export function toDockerBytes(bytes: bigint): number {
  return Number(bytes > BigInt(Number.MAX_SAFE_INTEGER) ? bytes - (bytes % PAGE) : bytes);
}

/** A cgroup v2 byte value: a number or "max" (-1n). */
export function parseUnifiedBytes(key: string, value: string): bigint {
  if (value === "max") return UNLIMITED;
  if (!DECIMAL.test(value)) {
    throw invalidArgument(`resources.unified["${key}"]: not a number of bytes or "max"`);
  }
  return BigInt(value);
}

/**
 * Memory and swap limits. Docker doubles the memory limit into swap when told nothing, so swap is
 * always said: unset means none, as in containerd. Limits below Docker's floor, and on an update
 * the removal of a limit, are written to the cgroup.
 */
export function planMemory(
  resources: LinuxContainerResources,
  cgroupVersion: 1 | 2,
  update: boolean,
): MemoryPlan {
  const memory = wantedMemory(resources);
  const swap = wantedSwap(resources, memory);
  if (memory === undefined) {
    return { docker: {}, hostWrites: swapWrites(swap, 0n, cgroupVersion) };
  }
  if (memory === UNLIMITED) {
    const writes = swapWrites(swap, 0n, cgroupVersion);
    return {
      docker: {},
      hostWrites: update ? [...unlimitedWrites(cgroupVersion), ...writes] : writes,
    };
  }
  if (memory < DOCKER_MIN_MEMORY) {
    const file = cgroupVersion === 2 ? "memory.max" : "memory.limit_in_bytes";
    return {
      docker: {},
      hostWrites: [
        cgroupWrite(file, String(memory)),
        ...swapWrites(swap ?? memory, memory, cgroupVersion),
      ],
    };
  }
  const Memory = toDockerBytes(memory);
  const MemorySwap = swap === undefined ? Memory : swap === UNLIMITED ? -1 : toDockerBytes(swap);
  return { docker: { Memory, MemorySwap }, hostWrites: [] };
}

/** undefined is "not specified". */
function wantedMemory(resources: LinuxContainerResources): bigint | undefined {
  const max = resources.unified["memory.max"];
  const memory =
    max === undefined ? resources.memoryLimitInBytes : parseUnifiedBytes("memory.max", max);
  if (memory < UNLIMITED) {
    throw invalidArgument(`resources.memory_limit_in_bytes: ${String(memory)} is negative`);
  }
  return memory === 0n ? undefined : memory;
}

/** Memory plus swap, as Docker counts it. */
function wantedSwap(
  resources: LinuxContainerResources,
  memory: bigint | undefined,
): bigint | undefined {
  const max = resources.unified["memory.swap.max"];
  if (max !== undefined) {
    const swap = parseUnifiedBytes("memory.swap.max", max);
    const base = memory === undefined || memory === UNLIMITED ? 0n : memory;
    return swap === UNLIMITED ? UNLIMITED : base + swap;
  }
  const total = resources.memorySwapLimitInBytes;
  if (total === 0n || total === UNLIMITED) return total === 0n ? undefined : UNLIMITED;
  if (total < 0n || memory === undefined || memory === UNLIMITED || total < memory) {
    throw invalidArgument(
      `resources.memory_swap_limit_in_bytes: ${String(total)} is below the memory limit, which it includes`,
    );
  }
  return total;
}

/** v2 counts swap alone, v1 memory plus swap. Missing files mean a kernel without swap accounting. */
function swapWrites(
  total: bigint | undefined,
  memory: bigint,
  cgroupVersion: 1 | 2,
): CgroupWrite[] {
  if (total === undefined) return [];
  if (cgroupVersion === 1) {
    return [cgroupWrite("memory.memsw.limit_in_bytes", String(total), true)];
  }
  const value = total === UNLIMITED ? "max" : String(total - memory);
  return [cgroupWrite("memory.swap.max", value, true)];
}

/** v1 insists that memory plus swap stays the larger of the two. */
function unlimitedWrites(cgroupVersion: 1 | 2): CgroupWrite[] {
  return cgroupVersion === 2
    ? [cgroupWrite("memory.max", "max")]
    : [
        cgroupWrite("memory.memsw.limit_in_bytes", "-1", true),
        cgroupWrite("memory.limit_in_bytes", "-1"),
      ];
}
