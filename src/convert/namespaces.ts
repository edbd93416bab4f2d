import { invalidArgument } from "../errors.ts";
import type { HostConfig } from "../engine/types.ts";
import { NamespaceMode, type NamespaceOption } from "../gen/runtime/v1/api_pb.js";
import type { HandlerFacts } from "./engine-facts.ts";
import { quoted } from "./field-checks.ts";
import { notEditing } from "./runtime-handler.ts";
import { toPodIds } from "./user-namespace.ts";

type NamespaceFields = Pick<
  HostConfig,
  "NetworkMode" | "PidMode" | "IpcMode" | "UTSMode" | "UsernsMode" | "CgroupnsMode"
>;
type NamespaceFacts = HandlerFacts<"usernsRemap" | "cgroupVersion">;

const CONTAINER_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;

export function isHostNetwork(options: NamespaceOption | undefined): boolean {
  return options?.network === NamespaceMode.NODE;
}

/**
 * Namespaces of the pause container; members join those that are not their own or the node's. Every
 * mode but NODE means the pod, also one that has no meaning here, as on other runtimes.
 */
export function toSandboxNamespaces(
  options: NamespaceOption | undefined,
  facts: NamespaceFacts,
  privileged: boolean,
): NamespaceFields {
  return {
    NetworkMode: isHostNetwork(options) ? "host" : "none",
    IpcMode: options?.ipc === NamespaceMode.NODE ? "host" : "shareable",
    ...(options?.pid === NamespaceMode.NODE ? { PidMode: "host" } : {}),
    ...alwaysSet(options, facts, privileged),
  };
}

/**
 * Namespaces of a workload container. Network and IPC are always the pod's, whatever the container's
 * own options say, as on other runtimes. In a pod on the node's network, and for a container that asks
 * for it, the UTS namespace is the node's.
 *
 * @param sandboxOptions the pod's own options
 */
export function toContainerNamespaces(
  options: NamespaceOption | undefined,
  sandboxId: string,
  facts: NamespaceFacts,
  privileged: boolean,
  sandboxOptions?: NamespaceOption,
): NamespaceFields {
  const sandbox = `container:${sandboxId}`;
  const pidMode = toPidMode(options?.pid ?? NamespaceMode.POD, options?.targetId ?? "", sandbox);
  return {
    NetworkMode: sandbox,
    // Docker's own word for it where the pod has the node's: joining pause would not say so.
    IpcMode: sandboxOptions?.ipc === NamespaceMode.NODE ? "host" : sandbox,
    ...(pidMode === undefined ? {} : { PidMode: pidMode }),
    ...(isHostNetwork(options) || isHostNetwork(sandboxOptions) ? { UTSMode: "host" } : {}),
    ...alwaysSet(options, facts, privileged),
  };
}

function toPidMode(pid: NamespaceMode, targetId: string, sandbox: string): string | undefined {
  switch (pid) {
    case NamespaceMode.POD:
      return sandbox;
    case NamespaceMode.NODE:
      return "host";
    case NamespaceMode.TARGET:
      if (!CONTAINER_ID.test(targetId)) {
        throw invalidArgument(
          `namespace_options.target_id: ${quoted(targetId)} is not a container id`,
        );
      }
      return `container:${targetId}`;
    default:
      // CONTAINER, and a mode that nobody knows yet: the one that shows a container the least.
      return undefined;
  }
}

function alwaysSet(
  options: NamespaceOption | undefined,
  facts: NamespaceFacts,
  privileged: boolean,
): NamespaceFields {
  if (toPodIds(options) !== undefined) requireUserNamespaces(facts);
  return {
    // A daemon-wide mapping would shift the owners of every host path that a pod mounts.
    ...(facts.usernsRemap ? { UsernsMode: "host" } : {}),
    // As containerd does it: own cgroup view on v2, except for privileged containers.
    CgroupnsMode: facts.cgroupVersion === 2 && !privileged ? "private" : "host",
  };
}

function requireUserNamespaces(facts: NamespaceFacts): void {
  const reason = facts.usernsRemap
    ? "the engine's userns-remap gives image files owners of its own"
    : facts.editing === undefined
      ? notEditing
      : facts.editing.noUserNamespaces;
  if (reason === undefined) return;
  throw invalidArgument(
    `namespace_options.userns_options: user namespaces are not supported on this node: ${reason}`,
  );
}
