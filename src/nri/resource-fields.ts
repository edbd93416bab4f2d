import { create } from "@bufbuild/protobuf";
import { Field, LinuxCPUSchema, LinuxMemorySchema } from "../gen/nri/v1alpha1/api_pb.js";
import type { LinuxCPU, LinuxMemory, LinuxResources } from "../gen/nri/v1alpha1/api_pb.js";

/** A member of LinuxResources that one plugin at a time can set. */
export interface ResourceField {
  readonly field: Field;
  isSet(from: LinuxResources): boolean;
  copy(from: LinuxResources, into: LinuxResources): void;
}

type Member<M> = Exclude<keyof M, `$${string}`>;

const memory = (field: Field, member: Member<LinuxMemory>): ResourceField => ({
  field,
  isSet: (from) => from.memory?.[member] !== undefined,
  copy: (from, into) => {
    into.memory ??= create(LinuxMemorySchema);
    Object.assign(into.memory, { [member]: from.memory?.[member] });
  },
});

const cpu = (field: Field, member: Member<LinuxCPU>): ResourceField => ({
  field,
  // The two sets have no wrapper: "" is "not said".
  isSet: (from) => (from.cpu?.[member] ?? "") !== "",
  copy: (from, into) => {
    into.cpu ??= create(LinuxCPUSchema);
    Object.assign(into.cpu, { [member]: from.cpu?.[member] });
  },
});

const own = (field: Field, member: "blockioClass" | "rdtClass" | "pids"): ResourceField => ({
  field,
  isSet: (from) => from[member] !== undefined,
  copy: (from, into) => {
    Object.assign(into, { [member]: from[member] });
  },
});

/**
 * In the order in which the reference implementation claims them: the first conflict is the one that is reported. Huge
 * pages and unified keys come between these and the classes.
 */
export const numberFields: readonly ResourceField[] = [
  memory(Field.MemLimit, "limit"),
  memory(Field.MemReservation, "reservation"),
  memory(Field.MemSwapLimit, "swap"),
  memory(Field.MemKernelLimit, "kernel"),
  memory(Field.MemTCPLimit, "kernelTcp"),
  memory(Field.MemSwappiness, "swappiness"),
  memory(Field.MemDisableOomKiller, "disableOomKiller"),
  memory(Field.MemUseHierarchy, "useHierarchy"),
  cpu(Field.CPUShares, "shares"),
  cpu(Field.CPUQuota, "quota"),
  cpu(Field.CPUPeriod, "period"),
  cpu(Field.CPURealtimeRuntime, "realtimeRuntime"),
  cpu(Field.CPURealtimePeriod, "realtimePeriod"),
  cpu(Field.CPUSetCPUs, "cpus"),
  cpu(Field.CPUSetMems, "mems"),
];

export const classFields: readonly ResourceField[] = [
  own(Field.BlockioClass, "blockioClass"),
  own(Field.RdtClass, "rdtClass"),
  own(Field.PidsLimit, "pids"),
];
