import { CriError } from "../errors.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import { addressesOfProcess } from "../network/netns-addresses.ts";
import type { PodDeps } from "./deps.ts";

/** Their containers use the network namespace as it is. */
const sharesNamespace = /^(?:runc|crun|io\.containerd\.runc\.v2|dockline(?:-.+)?)$/;

/**
 * gVisor with a network stack of its own takes the addresses out of the pod's network namespace when
 * the pod's first container starts: whatever starts after it would run without a network, and say
 * nothing of it. With runsc's `--network=host` all containers of a pod share the namespace.
 *
 * @throws FailedPrecondition when the pod's addresses are gone from its namespace
 */
export async function requirePodAddresses(
  deps: Pick<PodDeps, "index" | "records" | "facts">,
  container: ContainerEntry,
): Promise<void> {
  const { identity } = container;
  if (identity.kind !== "container") return;
  const handler = identity.runtimeHandler || (await deps.facts()).defaultRuntime;
  if (sharesNamespace.test(handler)) return;
  const sandbox = await deps.index.find("podsandbox", identity.podSandboxId);
  const record = deps.records.byId(identity.podSandboxId);
  if (sandbox === undefined || record === undefined || record.hostNetwork) return;
  if (record.ips.length === 0 || sandbox.state.Pid === 0) return;
  const present = await addressesOfProcess(sandbox.state.Pid);
  if (record.ips.some((ip) => present.includes(ip))) return;
  throw new CriError(
    "FailedPrecondition",
    `start: runtime ${handler} has taken the pod's addresses into an earlier container; a pod of more than one container, or a second start, needs the runtime registered with --network=host`,
  );
}
