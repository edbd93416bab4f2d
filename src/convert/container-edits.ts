import type { ContainerConfig } from "../gen/runtime/v1/api_pb.js";
import { cdiOperations, type CdiContainerEdits } from "./cdi-edits.ts";
import { cgroupWrite, type CgroupWrite } from "./cgroup-writes.ts";
import { API, type HandlerFacts } from "./engine-facts.ts";
import { toOciEdits, writesAfterStart } from "./oci-edits.ts";
import type { OciEdits, OciEditsInput, PauseProcess } from "./oci-edits.ts";
import { planResources, type ResourceFacts } from "./resources.ts";
import type { PodIds } from "./user-namespace.ts";

export interface ContainerEditsInput {
  /** As asked, or as stored-spec.ts keeps it. */
  readonly config: Pick<ContainerConfig, "mounts" | "linux">;
  /** Of its pod's user namespace. */
  readonly podIds: PodIds | undefined;
  /** What the CDI specifications say of its devices, on engines without CDI. */
  readonly devices: readonly CdiContainerEdits[];
  readonly engine: HandlerFacts<
    "apiMinor" | "cgroupVersion" | "dockerRootDir" | "hugepages" | "oomScoreFloor"
  >;
}

const SWAP_KEY = "memory.swap.max";
/** Which process it is, and what Docker made for the image, shows at the start. */
const SOME_START: UsernsStart = { join: { pid: 0, startTicks: 0 }, volumes: [] };

/** What is known at the start of a container in a pod with a user namespace. */
export interface UsernsStart {
  /** The pod's pause process. */
  readonly join: PauseProcess;
  /** Mount points of the volumes that the image declares. */
  readonly volumes: readonly string[];
}

/**
 * True when a container must run under dockline-oci. Without it the cgroup files are written right
 * after the start, and whatever else needs edits is refused by the translation.
 *
 * @throws InvalidArgument naming the field that no edits can be made of
 */
export function needsEdits(input: ContainerEditsInput): boolean {
  const { engine } = input;
  if (engine.editing === undefined) return false;
  const hostWrites = hostWritesOf(input).filter((write) => !isNoHugepages(write));
  const recursiveReadOnly =
    engine.apiMinor < API.readOnlyRecursion ? "all" : { dataRoot: engine.dockerRootDir };
  return (
    edits(input, { containerId: "", ...SOME_START, hostWrites, recursiveReadOnly }) !== undefined
  );
}

/**
 * The edits for one start of a container that was made to run under dockline-oci.
 *
 * @param userns where the pod has a user namespace
 */
export function toContainerEdits(
  input: ContainerEditsInput,
  containerId: string,
  userns?: UsernsStart,
): OciEdits {
  // Said again where the engine says it too: it may have been an older one at create.
  const start = {
    containerId,
    join: userns?.join,
    volumes: userns?.volumes ?? [],
    hostWrites: hostWritesOf(input),
    recursiveReadOnly: "all" as const,
  };
  return edits(input, start) ?? { v: 1, containerId };
}

/** Cgroup files that are left to write once the container runs. */
export function containerWritesAfterStart(
  resources: Parameters<typeof planResources>[0],
  facts: ResourceFacts,
  edited: boolean,
): CgroupWrite[] {
  const { hostWrites } = planResources(resources, facts);
  return edited ? writesAfterStart(hostWrites) : hostWrites;
}

function edits(
  input: ContainerEditsInput,
  start: {
    containerId: string;
    join: PauseProcess | undefined;
    volumes: readonly string[];
    hostWrites: readonly CgroupWrite[];
    recursiveReadOnly: OciEditsInput["recursiveReadOnly"];
  },
): OciEdits | undefined {
  const { config, engine } = input;
  return toOciEdits({
    ...start,
    cgroupVersion: engine.cgroupVersion,
    mounts: config.mounts,
    ambientCapabilities: config.linux?.securityContext?.capabilities?.addAmbientCapabilities ?? [],
    deviceOperations: cdiOperations(input.devices),
    podIds: input.podIds,
  });
}

function hostWritesOf({ config, engine }: ContainerEditsInput): CgroupWrite[] {
  const resources = config.linux?.resources;
  const { hostWrites } = planResources(resources, engine);
  const swap = resources?.unified[SWAP_KEY];
  if (swap === undefined) return hostWrites;
  // Docker drops a swap limit where it thinks that the kernel has none, and says so to nobody.
  return [...hostWrites.filter(({ file }) => file !== SWAP_KEY), cgroupWrite(SWAP_KEY, swap)];
}

/**
 * The kubelet says "none" of every page size to every container. The pod's cgroup, which it makes
 * itself, holds that already: no reason to run all containers of a node under dockline-oci.
 */
const isNoHugepages = ({ file, value }: CgroupWrite): boolean =>
  file.startsWith("hugetlb.") && value === "0";
