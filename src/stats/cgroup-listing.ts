import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../sys/fs.ts";
import type { HugetlbUsage } from "./figures.ts";
import { readKernelFile } from "./kept-file.ts";
import { wholeNumber } from "./scan.ts";

/** Processes of a cgroup and of the cgroups below it. */
export function processIdsOf(folder: string | undefined): number[] {
  if (folder === undefined) return [];
  const own = (readKernelFile(join(folder, "cgroup.procs")) ?? "")
    .split("\n")
    .filter((line) => line !== "" && line !== "0")
    .map(Number);
  return [...own, ...entries(folder, true).flatMap((name) => processIdsOf(join(folder, name)))];
}

/** Huge pages by size: "hugetlb.2MB.current" on v2, "hugetlb.2MB.usage_in_bytes" on v1. */
export function hugetlbUsage(
  folder: string | undefined,
  usage: string,
  maximum: string | undefined,
): HugetlbUsage[] {
  if (folder === undefined) return [];
  return entries(folder, false).flatMap((name) => {
    const [prefix, pageSize, rest] = name.split(".");
    if (prefix !== "hugetlb" || pageSize === undefined || rest !== usage) return [];
    const usageBytes = wholeNumber(readKernelFile(join(folder, name)));
    if (usageBytes === undefined) return [];
    const maxUsageBytes =
      maximum === undefined
        ? undefined
        : wholeNumber(readKernelFile(join(folder, `hugetlb.${pageSize}.${maximum}`)));
    return [{ pageSize, usageBytes, maxUsageBytes }];
  });
}

function entries(folder: string, folders: boolean): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() === folders)
      .map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}
