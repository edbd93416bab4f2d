import { invalidArgument } from "../errors.ts";
import { API, type EngineFacts } from "./engine-facts.ts";
import { quoted } from "./field-checks.ts";

type RuntimeFacts = Pick<EngineFacts, "runtimes" | "defaultRuntime" | "apiMinor">;

/** The only handler besides "" that most versions of cri-dockerd knew; it meant the default one. */
const CRI_DOCKERD_DEFAULT = "docker";
const SHIM_NAME = /^io\.containerd\.[a-zA-Z0-9._-]+\.v[0-9]+$/;
/** OCI runtimes whose shim is containerd's runc shim, which can serve a whole pod. */
const GROUPED = ["runc", "crun"];
const SHIM_GROUP_ANNOTATION = "io.containerd.runc.v2.group";

/** RuntimeClass handler → Docker's Runtime; undefined is the daemon's default. Unknown: InvalidArgument. */
export function toDockerRuntime(handler: string, facts: RuntimeFacts): string | undefined {
  if (handler === "") return undefined;
  if (facts.runtimes.includes(handler)) return handler;
  if (handler === CRI_DOCKERD_DEFAULT) return undefined;
  if (SHIM_NAME.test(handler) && facts.apiMinor >= API.seccompBuiltin) return handler;
  throw invalidArgument(
    `runtime_handler: ${quoted(handler)} is not a runtime of this Docker Engine`,
  );
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
