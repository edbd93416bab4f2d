import { create } from "@bufbuild/protobuf";
import {
  NamespaceMode,
  NamespaceOptionSchema,
  PodSandboxSchema,
  PodSandboxState,
  PodSandboxStatusSchema,
  type NamespaceOption,
  type PodSandbox,
  type PodSandboxConfig,
  type PodSandboxStatus,
} from "../gen/runtime/v1/api_pb.js";
import { runtimeHandlerOf, type SandboxFacts } from "./container-facts.ts";
import { sandboxStateOf } from "./state.ts";
import { decodeSandboxSpec } from "./stored-spec.ts";

/** What is known of a sandbox's network; the caller keeps it, Docker knows nothing of CNI. */
export interface SandboxNetwork {
  /** False until CNI ADD is done: a sandbox without its address must not be shown READY. */
  readonly ready: boolean;
  /** In the CNI result's order; empty on the host's network. */
  readonly ips: readonly string[];
}

/** A sandbox for ListPodSandbox. `facts` need not have been inspected. */
export function toPodSandbox(
  facts: SandboxFacts,
  network: Pick<SandboxNetwork, "ready">,
): PodSandbox {
  const { identity } = facts;
  return create(PodSandboxSchema, {
    id: facts.id,
    metadata: { ...identity.metadata },
    state: podSandboxState(facts, network),
    createdAt: facts.createdAtNs,
    labels: identity.labels,
    annotations: identity.annotations,
    runtimeHandler: runtimeHandlerOf(facts),
  });
}

/**
 * A sandbox for PodSandboxStatus. The kubelet rebuilds a pod whose network mode differs from its
 * own idea, whose address is missing while READY, or which is not READY. Addresses are shown only
 * while it is.
 */
export function toPodSandboxStatus(facts: SandboxFacts, network: SandboxNetwork): PodSandboxStatus {
  const listed = toPodSandbox(facts, network);
  const [ip = "", ...rest] = listed.state === PodSandboxState.SANDBOX_READY ? network.ips : [];
  return create(PodSandboxStatusSchema, {
    id: listed.id,
    ...(listed.metadata === undefined ? {} : { metadata: listed.metadata }),
    state: listed.state,
    createdAt: listed.createdAt,
    labels: listed.labels,
    annotations: listed.annotations,
    runtimeHandler: listed.runtimeHandler,
    network: { ip, additionalIps: rest.map((additional) => ({ ip: additional })) },
    linux: { namespaces: { options: namespacesOf(facts) } },
  });
}

/** The part of the request kept in the label; undefined for legacy sandboxes. */
export function storedSandboxSpec(facts: SandboxFacts): PodSandboxConfig | undefined {
  return decodeSandboxSpec(facts.identity.extra.spec);
}

/** READY while the pause container runs and the network is there. */
export function podSandboxState(
  facts: SandboxFacts,
  network: Pick<SandboxNetwork, "ready">,
): PodSandboxState {
  return network.ready ? sandboxStateOf(facts.state.Status) : PodSandboxState.SANDBOX_NOTREADY;
}

/** As asked, where unset means the pod's; for legacy sandboxes as Docker has them. */
function namespacesOf(facts: SandboxFacts): NamespaceOption {
  const spec = storedSandboxSpec(facts);
  if (spec !== undefined) {
    return spec.linux?.securityContext?.namespaceOptions ?? create(NamespaceOptionSchema);
  }
  const host = facts.inspect?.HostConfig;
  const mode = (own: string | undefined): NamespaceMode =>
    own === "host" ? NamespaceMode.NODE : NamespaceMode.POD;
  return create(NamespaceOptionSchema, {
    network: mode(host?.NetworkMode),
    ipc: mode(host?.IpcMode),
    // Whether members share one pid namespace is nowhere to be seen on the pause container.
    pid: host?.PidMode === "host" ? NamespaceMode.NODE : NamespaceMode.CONTAINER,
  });
}
