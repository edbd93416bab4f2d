import { invalidArgument } from "../errors.ts";
import type { EngineFacts } from "./engine-facts.ts";
import { quoted, requirePlainText } from "./field-checks.ts";

/** Of a folder's name and of a path, which a cgroup is; the container's own name comes below it. */
const MAX_NAME = 255;
const MAX_PATH = 3000;

/**
 * The pod's cgroup → Docker's CgroupParent: under cgroupfs the path as it is, under systemd the
 * slice's own name, which holds its whole ancestry. Undefined leaves Docker's.
 */
export function toCgroupParent(
  cgroupParent: string,
  facts: Pick<EngineFacts, "cgroupDriver">,
): string | undefined {
  if (cgroupParent === "") return undefined;
  requirePlainText("cgroup_parent", cgroupParent);
  const parts = cgroupParent.split("/").filter((part) => part !== "");
  const name = parts.at(-1);
  const tooLong =
    cgroupParent.length >= MAX_PATH || parts.some((part) => Buffer.byteLength(part) > MAX_NAME);
  if (tooLong) throw invalidArgument(`cgroup_parent: ${quoted(cgroupParent)} is too long`);
  if (name === undefined || parts.includes("..") || parts.includes(".")) {
    throw invalidArgument(`cgroup_parent: ${quoted(cgroupParent)} is not a cgroup`);
  }
  if (facts.cgroupDriver === "cgroupfs") return cgroupParent;
  if (!name.endsWith(".slice") || name === ".slice") {
    throw invalidArgument(
      `cgroup_parent: ${quoted(cgroupParent)} is not a slice, which the systemd cgroup driver needs`,
    );
  }
  return name;
}
