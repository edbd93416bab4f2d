import { invalidArgument } from "../errors.ts";
import type { SELinuxOption } from "../gen/runtime/v1/api_pb.js";
import { quoted } from "./field-checks.ts";

const NAME = /^[A-Za-z0-9_.-]{1,255}$/;
const LEVEL = /^s[0-9]{1,5}(?:[A-Za-z0-9_.:,-]{0,255})$/;

/**
 * Docker's label options. Only their form is checked; a context that the node's policy does not know
 * fails the start. On a node without SELinux they have no effect, as in containerd.
 */
export function toSelinuxOptions(
  options: SELinuxOption | undefined,
  privileged: boolean,
): string[] {
  if (options === undefined) return [];
  const parts = [
    ["user", options.user, NAME],
    ["role", options.role, NAME],
    ["type", options.type, NAME],
    ["level", options.level, LEVEL],
  ] as const;
  const labels: string[] = [];
  for (const [key, value, pattern] of parts) {
    if (value === "") continue;
    if (!pattern.test(value)) {
      throw invalidArgument(`selinux_options.${key}: ${quoted(value)} is malformed`);
    }
    labels.push(`label=${key}:${value}`);
  }
  // Docker runs privileged containers unlabelled and would take the rest for a contradiction.
  return privileged ? [] : labels;
}
