import { invalidArgument } from "../errors.ts";
import { API, type EditingRuntime, type EngineFacts } from "./engine-facts.ts";
import { quoted } from "./field-checks.ts";

/** Why what only edits of the OCI spec can give is refused. */
export const notEditing =
  "dockline-oci is not registered for this runtime; see dockline install-runtime";

type RuntimeFacts = Pick<
  EngineFacts,
  "runtimes" | "defaultRuntime" | "apiMinor" | "editingRuntimes"
>;

/** The only handler besides "" that most versions of cri-dockerd knew; it meant the default one. */
const CRI_DOCKERD_DEFAULT = "docker";
const SHIM_NAME = /^io\.containerd\.[a-zA-Z0-9._-]+\.v[0-9]+$/;
/** OCI runtimes whose shim is containerd's runc shim, which can serve a whole pod. */
const GROUPED = ["runc", "crun"];
const SHIM_GROUP_ANNOTATION = "io.containerd.runc.v2.group";

const EDITING_NAME = /^dockline(?:-.+)?$/;
/** Docker's names of what `dockline` stands in front of. */
const RUNC_NAMES = ["runc", "io.containerd.runc.v2"];

/** A name kept for dockline-oci, which is chosen for containers that need it and never asked for. */
export function isEditingRuntime(name: string): boolean {
  return EDITING_NAME.test(name);
}

/** dockline-oci in front of the runtime that a handler names: `dockline-<runtime>`, or `dockline`. */
export function editingRuntime(handler: string, facts: RuntimeFacts): EditingRuntime | undefined {
  const runtime = toDockerRuntime(handler, facts) ?? facts.defaultRuntime;
  const find = (name: string): EditingRuntime | undefined =>
    facts.editingRuntimes?.find((candidate) => candidate.name === name);
  return (
    find(`dockline-${runtime}`) ?? (RUNC_NAMES.includes(runtime) ? find("dockline") : undefined)
  );
}

/** RuntimeClass handler → Docker's Runtime; undefined is the daemon's default. Unknown: InvalidArgument. */
export function toDockerRuntime(handler: string, facts: RuntimeFacts): string | undefined {
  if (handler === "") return undefined;
  if (isEditingRuntime(handler)) {
    throw invalidArgument(
      `runtime_handler: ${quoted(handler)} is chosen by Dockline itself where a container needs it`,
    );
  }
  if (facts.runtimes.includes(handler)) return handler;
  if (handler === CRI_DOCKERD_DEFAULT) return undefined;
  if (SHIM_NAME.test(handler) && facts.apiMinor >= API.seccompBuiltin) return handler;
  throw invalidArgument(
    `runtime_handler: ${quoted(handler)} is not a runtime of this Docker Engine`,
  );
}

/**
 * True for runtimes that put a container's processes into the container's own cgroup. Others may run
 * them inside a sandbox of the pod, as gVisor does; Docker then shows the sandbox's process.
 */
export function hasOwnCgroups(handler: string, facts: RuntimeFacts): boolean {
  const runtime = toDockerRuntime(handler, facts) ?? facts.defaultRuntime;
  return [...GROUPED, ...RUNC_NAMES].includes(runtime) || isEditingRuntime(runtime);
}

/**
 * OCI annotations of a container: the shim's grouping key at most, so that pause and members share
 * one shim. Annotations of the pod never get here: some steer the OCI runtime.
 */
export function toOciAnnotations(
  handler: string,
  pauseName: string,
  facts: RuntimeFacts & Pick<EngineFacts, "shimPerPod">,
): Record<string, string> | undefined {
  const runtime = toDockerRuntime(handler, facts) ?? facts.defaultRuntime;
  if (!facts.shimPerPod || facts.apiMinor < API.annotations || !GROUPED.includes(runtime)) {
    return undefined;
  }
  return { [SHIM_GROUP_ANNOTATION]: pauseName };
}
