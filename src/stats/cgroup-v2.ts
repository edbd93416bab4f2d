import { join } from "node:path";
import { detailsV2 } from "./cgroup-details-v2.ts";
import type { Cgroup, SwapFigures } from "./figures.ts";
import { KeptFile } from "./kept-file.ts";
import type { DescriptorBudget } from "./kept-file.ts";
import { memoryFigures, namesV2 } from "./memory-stat.ts";
import { pressureFiles } from "./pressure.ts";
import { less, numberOf, wholeNumber } from "./scan.ts";

/** A cgroup of version 2. */
export function openCgroupV2(path: string, folder: string, budget: DescriptorBudget): Cgroup {
  const file = (name: string): KeptFile => new KeptFile(join(folder, name), budget);
  const cpu = file("cpu.stat");
  const current = file("memory.current");
  const stat = file("memory.stat");
  const max = file("memory.max");
  const swapCurrent = file("memory.swap.current");
  const swapMax = file("memory.swap.max");
  const pids = file("pids.current");
  const pressure = pressureFiles(folder, budget);
  const cpuUsageNs = (): bigint | undefined => {
    const text = cpu.read();
    const usageUs = text === undefined ? undefined : numberOf(text, "usage_usec");
    return usageUs === undefined ? undefined : usageUs * 1000n;
  };
  return {
    path,
    cpuUsageNs,
    read: (atNs, wanted) => {
      const usageNs = cpuUsageNs();
      if (usageNs === undefined) return undefined;
      const memory = memoryFigures(
        stat.read(),
        wholeNumber(current.read()),
        wanted.available ? wholeNumber(max.read()) : undefined,
        namesV2,
      );
      // Either memory accounting is disabled in the kernel, or the container has just gone.
      if (memory === undefined && cpuUsageNs() === undefined) return undefined;
      return {
        atNs,
        cpuUsageNs: usageNs,
        cpuPsi: wanted.pressure ? pressure.cpu() : undefined,
        memory,
        memoryPsi: wanted.pressure ? pressure.memory() : undefined,
        swap: swapOf(
          wholeNumber(swapCurrent.read()),
          wanted.available ? wholeNumber(swapMax.read()) : undefined,
        ),
        ioPsi: wanted.pressure ? pressure.io() : undefined,
        pids: wanted.pids ? wholeNumber(pids.read()) : undefined,
      };
    },
    details: (files) => detailsV2(folder, files),
    close: () => {
      for (const kept of [cpu, current, stat, max, swapCurrent, swapMax, pids]) kept.close();
      pressure.close();
    },
  };
}

function swapOf(usageBytes: bigint | undefined, max: bigint | undefined): SwapFigures | undefined {
  if (usageBytes === undefined) return undefined;
  return {
    usageBytes,
    availableBytes: max === undefined ? undefined : less(max, usageBytes),
  };
}
