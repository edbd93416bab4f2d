import { invalidArgument } from "../errors.ts";
import type { HugepageLimit } from "../gen/runtime/v1/api_pb.js";
import { hasControlCharacter, quoted } from "./field-checks.ts";

/** A cgroup file of the container to write, for what Docker's API cannot say. */
export interface CgroupWrite {
  /** Names the v1 hierarchy; on v2 there is one for all. */
  readonly controller: string;
  readonly file: string;
  readonly value: string;
  /** The file may be missing (controller or swap accounting off): then nothing is to be limited. */
  readonly optional: boolean;
}

const UNIFIED_KEY = /^[a-z][a-z0-9_]{0,31}(?:\.[A-Za-z0-9_-]{1,64}){1,4}$/;
const PAGE_SIZE = /^[1-9][0-9]{0,6}(?:KB|MB|GB|TB)$/;
const MAX_UINT64 = 2n ** 64n - 1n;

export function cgroupWrite(file: string, value: string, optional = false): CgroupWrite {
  return { controller: file.slice(0, file.indexOf(".")), file, value, optional };
}

/**
 * Checks keys and values of `unified`, which name files of the container's cgroup: no path, no
 * `cgroup.*` file (freeze, kill, procs are not resources), one line per value.
 */
export function checkUnified(
  unified: Readonly<Record<string, string>>,
  cgroupVersion: 1 | 2,
): void {
  for (const key of Object.keys(unified)) {
    const field = `resources.unified[${quoted(key)}]`;
    if (cgroupVersion === 1) throw invalidArgument(`${field}: this node has cgroup v1`);
    if (!UNIFIED_KEY.test(key) || key.startsWith("cgroup.")) {
      throw invalidArgument(`${field}: not a cgroup v2 resource`);
    }
    const value = unified[key] ?? "";
    if (value === "" || value.length > 4096 || hasControlCharacter(value)) {
      throw invalidArgument(`${field}: not a cgroup value`);
    }
  }
}

/** Huge page limits → writes; the kubelet sends one for every page size, 0 where none is granted. */
export function hugepageWrites(
  limits: readonly HugepageLimit[],
  cgroupVersion: 1 | 2,
): CgroupWrite[] {
  return limits.flatMap(({ pageSize, limit }) => {
    if (!PAGE_SIZE.test(pageSize)) {
      throw invalidArgument(`resources.hugepage_limits: ${quoted(pageSize)} is not a page size`);
    }
    if (limit < 0n || limit > MAX_UINT64) {
      throw invalidArgument(`resources.hugepage_limits: ${String(limit)} is not a limit`);
    }
    const [usage, reserved] = cgroupVersion === 2 ? ["max", "rsvd.max"] : V1_SUFFIXES;
    const value = String(limit);
    // Without the controller, "none" holds already; a real limit must not be lost silently.
    return [
      cgroupWrite(`hugetlb.${pageSize}.${usage}`, value, limit === 0n),
      cgroupWrite(`hugetlb.${pageSize}.${reserved}`, value, true),
    ];
  });
}

const V1_SUFFIXES = ["limit_in_bytes", "rsvd.limit_in_bytes"] as const;
