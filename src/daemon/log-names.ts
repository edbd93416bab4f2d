import { parseName } from "../convert/names.ts";
import { lineNames } from "../cri/observe.ts";
import type { ContainerIndex } from "../index/container-index.ts";
import type { Names } from "../log.ts";
import { currentTarget } from "../sys/call-trace.ts";
import type { CallTarget } from "../sys/call-trace.ts";

/**
 * Names for lines that have an id (`containerId`, `podId`) or the Docker name of a sandbox (`sandbox`),
 * out of memory; for other lines those of the call that they belong to.
 */
export function namesFrom(index: Pick<ContainerIndex, "peek">): Names {
  return (fields) => {
    const { containerId, podId, sandbox } = fields as Record<string, unknown>;
    const target = currentTarget();
    const id = typeof containerId === "string" ? containerId : podId;
    if (typeof id === "string") {
      const known: CallTarget = {};
      nameTarget(index, known, id);
      if (known.podName !== undefined) return lineNames(known);
      const isTheirs = target !== undefined && [target.containerId, target.podId].includes(id);
      if (isTheirs) return lineNames(target);
    }
    if (typeof sandbox === "string") {
      const parsed = parseName(sandbox);
      if (parsed?.kind === "podsandbox") {
        return { pod: parsed.metadata.name, namespace: parsed.metadata.namespace };
      }
    }
    return id === undefined && target !== undefined ? lineNames(target) : {};
  };
}

/** What the ids of a target stand for, out of memory; what is there already stays. */
export function nameTarget(
  index: Pick<ContainerIndex, "peek">,
  target: CallTarget,
  id = target.containerId ?? target.podId ?? "",
): void {
  const identity = index.peek(id)?.identity;
  if (identity === undefined) return;
  const pod = identity.kind === "container" ? identity.podSandboxMetadata : identity.metadata;
  target.podName ??= pod.name;
  target.namespace ??= pod.namespace;
  if (identity.kind !== "container") return;
  target.containerName ??= identity.metadata.name;
  target.podId ??= identity.podSandboxId;
}
