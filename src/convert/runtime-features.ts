import type { RuntimeFeatures } from "./engine-facts.ts";

/**
 * What an OCI runtime must know for an edit not to be passed over in silence: `spec:1.1.0`, `netDevices`, `intelRdt`,
 * `intelRdt.schemata`, `intelRdt.monitoring`, `memoryPolicy:MPOL_BIND`, `memoryPolicyFlag:MPOL_F_STATIC_NODES`,
 * `hook:createRuntime`, `mountOption:idmap`, `namespace:time`. dockline-oci checks the same at each start.
 */
export type Requirement = string;

/** What every OCI runtime turns into mount(2) flags, also those that have no `features`. */
const CERTAIN_OPTIONS = (
  "ro rw nosuid suid nodev dev noexec exec bind rbind private rprivate slave rslave shared rshared " +
  "noatime relatime"
).split(" ");

export function meets(features: RuntimeFeatures | undefined, requirement: Requirement): boolean {
  const colon = requirement.indexOf(":");
  const kind = colon < 0 ? requirement : requirement.slice(0, colon);
  const name = requirement.slice(colon + 1);
  const linux = features?.linux;
  switch (kind) {
    case "spec":
      return atLeast(features?.ociVersionMax ?? "", name);
    case "netDevices":
      return linux?.netDevices?.enabled === true;
    case "intelRdt":
      return linux?.intelRdt?.enabled === true;
    case "intelRdt.schemata":
      return linux?.intelRdt?.schemata === true;
    case "intelRdt.monitoring":
      return linux?.intelRdt?.monitoring === true;
    case "memoryPolicy":
      return linux?.memoryPolicy?.modes?.includes(name) === true;
    case "memoryPolicyFlag":
      return linux?.memoryPolicy?.flags?.includes(name) === true;
    case "hook":
      return features?.hooks?.includes(name) === true;
    case "mountOption":
      return CERTAIN_OPTIONS.includes(name) || features?.mountOptions?.includes(name) === true;
    case "namespace":
      return linux?.namespaces?.includes(name) === true;
    default:
      return false;
  }
}

/** "1.1.0-rc.1" counts as before 1.1.0, as a pre-release does. */
function atLeast(version: string, wanted: string): boolean {
  const [have, want] = [numbers(version), numbers(wanted)];
  for (const [index, number] of want.entries()) {
    const own = have[index] ?? 0;
    if (own !== number) return own > number;
  }
  return version !== "" && !version.includes("-");
}

const numbers = (version: string): number[] =>
  (version.split("-", 1)[0] ?? "").split(".").map(Number);
