import type { ContainerEditsInput } from "../convert/container-edits.ts";
import { needsEdits, toContainerEdits } from "../convert/container-edits.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import type { OciEdits, PauseProcess } from "../convert/oci-edits.ts";
import { editingRuntime } from "../convert/runtime-handler.ts";
import { decodeContainerSpec, decodeSandboxSpec } from "../convert/stored-spec.ts";
import { requireSamePodIds, toPodIds } from "../convert/user-namespace.ts";
import type { PodIds } from "../convert/user-namespace.ts";
import { CriError } from "../errors.ts";
import type { ContainerConfig } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import { inContainer, readProcess } from "../sys/process-tree.ts";
import { readCdiEdits } from "./cdi-devices.ts";
import type { PodDeps } from "./deps.ts";

type EditsDeps = Pick<PodDeps, "index" | "edits" | "facts">;

/** API 1.44: the engine handles CDI devices itself from here on. */
export function engineHasCdi(facts: Pick<EngineFacts, "apiMinor">): boolean {
  return facts.apiMinor >= 44;
}

/**
 * Whether a container to be made must run under dockline-oci.
 *
 * @throws InvalidArgument naming the field, NotFound for an unknown CDI device
 */
export async function wantsEdits(
  config: ContainerConfig,
  sandbox: ContainerEntry,
  facts: EngineFacts,
): Promise<boolean> {
  const podIds = podIdsOf(sandbox);
  requireSamePodIds(toPodIds(config.linux?.securityContext?.namespaceOptions), podIds);
  const editing = editingRuntime(sandbox.identity.runtimeHandler, facts);
  if (editing === undefined) return false;
  const names = engineHasCdi(facts) ? [] : config.CDIDevices.map(({ name }) => name);
  const devices = await readCdiEdits(names);
  return needsEdits({ config, podIds, devices, engine: { ...facts, editing } });
}

/** For the pause container of a pod with a user namespace, before it is started. */
export async function writeSandboxEdits(
  deps: Pick<EditsDeps, "edits">,
  containerId: string,
  podIds: PodIds,
): Promise<void> {
  const edits: OciEdits = { v: 1, containerId, userNamespace: podIds };
  await deps.edits.write(edits);
}

/** Before each start of a container that was made to run under dockline-oci; nothing for others. */
export async function writeContainerEdits(
  deps: EditsDeps,
  container: ContainerEntry,
): Promise<void> {
  const { identity } = container;
  if (identity.kind !== "container" || identity.extra.edited !== true) return;
  const config = decodeContainerSpec(identity.extra.spec);
  const sandbox = await deps.index.find("podsandbox", identity.podSandboxId);
  if (config === undefined || sandbox === undefined) {
    throw new CriError(
      "FailedPrecondition",
      `start: container ${container.id} has no ${config === undefined ? "request" : "pod sandbox"} to be edited by`,
    );
  }
  const input: ContainerEditsInput = {
    config,
    podIds: podIdsOf(sandbox),
    devices: await readCdiEdits(config.CDIDevices.map(({ name }) => name)),
    engine: await deps.facts(),
  };
  const join = input.podIds === undefined ? undefined : pauseProcess(sandbox);
  await deps.edits.write(toContainerEdits(input, container.id, join));
}

/** The ids that the pod was made with. */
function podIdsOf(sandbox: ContainerEntry): PodIds | undefined {
  const spec = decodeSandboxSpec(sandbox.identity.extra.spec);
  return toPodIds(spec?.linux?.securityContext?.namespaceOptions);
}

function pauseProcess(sandbox: ContainerEntry): PauseProcess {
  const { Pid: pid, Running } = sandbox.state;
  const found = Running && pid > 0 ? readProcess(pid) : undefined;
  if (found === undefined || !inContainer(pid, sandbox.id)) {
    throw new CriError("FailedPrecondition", `start: pod sandbox ${sandbox.id} is not running`);
  }
  return { pid, startTicks: Number(found.startTicks) };
}
