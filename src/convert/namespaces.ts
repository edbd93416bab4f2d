import { invalidArgument } from "../errors.ts";
import type { HostConfig } from "../engine/types.ts";
import { NamespaceMode, type NamespaceOption } from "../gen/runtime/v1/api_pb.js";
import type { HandlerFacts } from "./engine-facts.ts";
import { quoted } from "./field-checks.ts";
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

/** Namespaces of the pause container; members join those that are not their own or the node's. */
export function toSandboxNamespaces(
  options: NamespaceOption | undefined,
  facts: NamespaceFacts,
  privileged: boolean,
): NamespaceFields {
  const network = options?.network ?? NamespaceMode.POD;
  const pid = options?.pid ?? NamespaceMode.POD;
  const ipc = options?.ipc ?? NamespaceMode.POD;
  requireMode("network", network, [NamespaceMode.POD, NamespaceMode.NODE]);
  // CONTAINER is what the kubelet sends for ordinary pods: members have pid namespaces of their own.
  requireMode("pid", pid, [NamespaceMode.POD, NamespaceMode.CONTAINER, NamespaceMode.NODE]);
  requireMode("ipc", ipc, [NamespaceMode.POD, NamespaceMode.CONTAINER, NamespaceMode.NODE]);
  return {
    NetworkMode: network === NamespaceMode.NODE ? "host" : "none",
    IpcMode: ipc === NamespaceMode.NODE ? "host" : "shareable",
    ...(pid === NamespaceMode.NODE ? { PidMode: "host" } : {}),
    ...alwaysSet(options, facts, privileged),
  };
}

/**
 * Namespaces of a workload container. Network always comes from the pause container, on the host's
 * network too, where the UTS namespace is the host's as well.
 */
export function toContainerNamespaces(
  options: NamespaceOption | undefined,
  sandboxId: string,
  facts: NamespaceFacts,
  privileged: boolean,
): NamespaceFields {
  const network = options?.network ?? NamespaceMode.POD;
  const pid = options?.pid ?? NamespaceMode.POD;
  const ipc = options?.ipc ?? NamespaceMode.POD;
  requireMode("network", network, [NamespaceMode.POD, NamespaceMode.NODE]);
  requireMode("ipc", ipc, [NamespaceMode.POD, NamespaceMode.CONTAINER, NamespaceMode.NODE]);
  const sandbox = `container:${sandboxId}`;
  const pidMode = toPidMode(pid, options?.targetId ?? "", sandbox);
  return {
    NetworkMode: sandbox,
    IpcMode:
      ipc === NamespaceMode.NODE ? "host" : ipc === NamespaceMode.CONTAINER ? "private" : sandbox,
    ...(pidMode === undefined ? {} : { PidMode: pidMode }),
    ...(network === NamespaceMode.NODE ? { UTSMode: "host" } : {}),
    ...alwaysSet(options, facts, privileged),
  };
}

function toPidMode(pid: NamespaceMode, targetId: string, sandbox: string): string | undefined {
  switch (pid) {
    case NamespaceMode.POD:
      return sandbox;
    case NamespaceMode.NODE:
      return "host";
    case NamespaceMode.CONTAINER:
      return undefined;
    case NamespaceMode.TARGET:
      if (!CONTAINER_ID.test(targetId)) {
        throw invalidArgument(
          `namespace_options.target_id: ${quoted(targetId)} is not a container id`,
        );
      }
      return `container:${targetId}`;
    default:
      throw invalidArgument(`namespace_options.pid: mode ${String(pid)} is unknown`);
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
      ? "dockline-oci is not registered for this runtime; see dockline install-runtime"
      : facts.editing.noUserNamespaces;
  if (reason === undefined) return;
  throw invalidArgument(
    `namespace_options.userns_options: user namespaces are not supported on this node: ${reason}`,
  );
}

function requireMode(field: string, mode: NamespaceMode, allowed: NamespaceMode[]): void {
  if (!allowed.includes(mode)) {
    const name = NamespaceMode[mode] as string | undefined;
    throw invalidArgument(`namespace_options.${field}: ${name ?? String(mode)} is not supported`);
  }
}
