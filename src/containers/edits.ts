import { create } from "@bufbuild/protobuf";
import type { ContainerEditsInput } from "../convert/container-edits.ts";
import { needsEdits, toContainerEdits } from "../convert/container-edits.ts";
import { engineHasCdi } from "../convert/devices.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import type { AdjustmentPlan } from "../convert/nri-adjustment.ts";
import { withAdjustment } from "../convert/nri-edits.ts";
import type { OciEdits, PauseProcess } from "../convert/oci-edits.ts";
import { editingRuntime } from "../convert/runtime-handler.ts";
import { decodeContainerSpec, decodeSandboxSpec } from "../convert/stored-spec.ts";
import { requireSamePodIds, toPodIds } from "../convert/user-namespace.ts";
import type { PodIds } from "../convert/user-namespace.ts";
import { CriError } from "../errors.ts";
import { KeyValueSchema, LinuxContainerConfigSchema } from "../gen/runtime/v1/api_pb.js";
import type {
  ContainerConfig,
  KeyValue,
  LinuxContainerResources,
} from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import { inContainer, readProcess } from "../sys/process-tree.ts";
import type { ContainerDeps } from "./deps.ts";
import { cdiFolders, readCdiEdits } from "./cdi-devices.ts";
import { resourcesBefore } from "./resize.ts";
import type { ResizeDeps } from "./resize.ts";

type EditsDeps = Pick<ContainerDeps, "engine" | "index" | "edits" | "facts">;
type StartEditsDeps = EditsDeps & Pick<ResizeDeps, "resources">;

/**
 * The facts for one container's CDI devices: an engine that looks in folders of its own may not find what is in the
 * usual ones, where every other runtime looks; dockline-oci does.
 */
export async function factsForCdi(
  config: Pick<ContainerConfig, "CDIDevices">,
  sandbox: ContainerEntry,
  facts: EngineFacts,
): Promise<EngineFacts> {
  if (config.CDIDevices.length === 0 || !engineHasCdi(facts)) return facts;
  const its = (facts.cdiFolders ?? []).map(realFolder);
  if (cdiFolders.map(realFolder).every((folder) => its.includes(folder))) return facts;
  if (editingRuntime(sandbox.identity.runtimeHandler, facts) === undefined) return facts;
  const names = config.CDIDevices.map(({ name }) => name);
  try {
    await readCdiEdits(names, its);
    return facts;
  } catch {
    return { ...facts, cdiFolders: [] };
  }
}

/**
 * The environment that CDI specifications give, for Docker's own configuration of the container: an exec has the
 * variables from there, and with every other runtime it has those of CDI devices. Best effort: who makes the
 * edits says what is wrong with them.
 */
export async function cdiEnvironment(
  config: Pick<ContainerConfig, "CDIDevices">,
  facts: EngineFacts,
): Promise<KeyValue[]> {
  const names = config.CDIDevices.map(({ name }) => name);
  const folders = engineHasCdi(facts) ? facts.cdiFolders : cdiFolders;
  const edits = await readCdiEdits(names, folders).catch(() => []);
  return edits
    .flatMap(({ env }) => env ?? [])
    .filter((line) => line.indexOf("=") > 0)
    .map((line) => {
      const at = line.indexOf("=");
      const value = new TextEncoder().encode(line.slice(at + 1));
      return create(KeyValueSchema, { key: line.slice(0, at), value });
    });
}

/** The engine resolves the link that /var/run is. */
const realFolder = (folder: string): string => folder.replace(/^\/var\/run\//, "/run/");

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

/**
 * For a pause container that runs under dockline-oci, before it is started: a user namespace, or the path of
 * a network namespace to join; with neither it is started as Docker says.
 */
export async function writeSandboxEdits(
  deps: Pick<EditsDeps, "edits">,
  containerId: string,
  { podIds, netns }: { podIds?: PodIds | undefined; netns?: string | undefined },
): Promise<void> {
  const edits: OciEdits = {
    v: 1,
    containerId,
    ...(podIds === undefined ? {} : { userNamespace: podIds }),
    ...(netns === undefined ? {} : { ops: [{ op: "networkNamespace", path: netns }] }),
  };
  await deps.edits.write(edits);
}

/** Before each start of a container that was made to run under dockline-oci; nothing for others. */
export async function writeContainerEdits(
  deps: StartEditsDeps,
  container: ContainerEntry,
  adjustment?: AdjustmentPlan["edits"],
): Promise<void> {
  const { identity } = container;
  if (identity.kind !== "container" || identity.extra.edited !== true) return;
  const config = withResources(
    decodeContainerSpec(identity.extra.spec),
    resourcesBefore(deps, container),
  );
  const sandbox = await deps.index.find("podsandbox", identity.podSandboxId);
  if (config === undefined || sandbox === undefined) {
    throw new CriError(
      "FailedPrecondition",
      `start: container ${container.id}: the ${config === undefined ? "request" : "pod sandbox"} that its OCI spec is edited by is not known`,
    );
  }
  const input: ContainerEditsInput = {
    config,
    podIds: podIdsOf(sandbox),
    devices: await readCdiEdits(config.CDIDevices.map(({ name }) => name)),
    engine: await deps.facts(),
  };
  if (input.podIds === undefined) {
    await deps.edits.write(withAdjustment(toContainerEdits(input, container.id), adjustment));
    return;
  }
  const volumes = await declaredVolumes(deps, container);
  const start = { join: pauseProcess(sandbox), volumes };
  const own = toContainerEdits(input, container.id, start);
  await deps.edits.write(withAdjustment(own, adjustment));
}

/** What was asked last takes the place of what the create asked for. */
function withResources(
  config: ContainerConfig | undefined,
  resources: LinuxContainerResources | undefined,
): ContainerConfig | undefined {
  if (config === undefined || resources === undefined) return config;
  const linux = config.linux ?? create(LinuxContainerConfigSchema);
  return { ...config, linux: { ...linux, resources } };
}

/** Mount points of the volumes that the image declares. */
async function declaredVolumes(
  deps: Pick<EditsDeps, "engine">,
  container: ContainerEntry,
): Promise<string[]> {
  const { Mounts } = container.inspect ?? (await deps.engine.inspectContainer(container.id));
  return (Mounts ?? []).filter(({ Type }) => Type === "volume").map((mount) => mount.Destination);
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
