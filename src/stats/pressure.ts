import { join } from "node:path";
import type { Psi } from "./figures.ts";
import { KeptFile } from "./kept-file.ts";
import type { DescriptorBudget } from "./kept-file.ts";
import { parsePsi } from "./scan.ts";

/** The three pressure files of a cgroup in the unified hierarchy. */
export function pressureFiles(
  folder: string | undefined,
  budget: DescriptorBudget,
): {
  cpu(): Psi | undefined;
  memory(): Psi | undefined;
  io(): Psi | undefined;
  close(): void;
} {
  if (folder === undefined) {
    const none = (): undefined => undefined;
    return { cpu: none, memory: none, io: none, close: none };
  }
  const cpu = new KeptFile(join(folder, "cpu.pressure"), budget);
  const memory = new KeptFile(join(folder, "memory.pressure"), budget);
  const io = new KeptFile(join(folder, "io.pressure"), budget);
  return {
    cpu: () => parsePsi(cpu.read()),
    memory: () => parsePsi(memory.read()),
    io: () => parsePsi(io.read()),
    close: () => {
      for (const kept of [cpu, memory, io]) kept.close();
    },
  };
}
