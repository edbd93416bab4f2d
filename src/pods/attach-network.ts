import { CriError } from "../errors.ts";
import type { ContainerInspect } from "../engine/types.ts";
import { isPluginsWord } from "../network/cni-error.ts";
import type { NetworkAttachment, SetUpRequest } from "../network/attachment.ts";
import { inspectNetns, netnsInode } from "../network/netns.ts";
import type { PauseRun } from "../state/sandbox-records.ts";
import { failpoint } from "../sys/failpoint.ts";
import { isStillAt, podNetns } from "./pod-netns.ts";
import type { RecordedSandbox, SandboxChange } from "./recorded.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";

/** What the configuration alone decides of a CNI request. */
export type NetworkRequest = Omit<
  SetUpRequest,
  "containerId" | "netns" | "isOurs" | "signal" | "beforeAdd"
>;

/** The namespace that CNI works in. */
export interface PodPlace {
  path: string;
  /** Whether the path leads to the pod's namespace still. */
  isOurs: () => Promise<boolean>;
  /** What the record says of it from before ADD on. */
  known: SandboxChange;
}

/** Docker's namespace of a pause container that runs. */
export async function dockersPlace(id: string, inspect: ContainerInspect): Promise<PodPlace> {
  const found = await podNetns(id, inspect);
  if (found.path === "") {
    throw new CriError("Internal", `sandbox ${id}: the engine names no network namespace`);
  }
  const { SandboxKey: key = "" } = inspect.NetworkSettings;
  return {
    path: found.path,
    isOurs: () => isStillAt(id, found),
    known: {
      ...(key === "" ? {} : { netns: key }),
      ...(found.run === undefined ? {} : { pauseRun: found.run }),
    },
  };
}

/** One that Dockline has made, whether the pause container runs yet or not. No other one ever has its name. */
export function ownPlace(path: string): PodPlace {
  return {
    path,
    isOurs: async () => (await inspectNetns(path)) === "pod",
    known: { netns: path },
  };
}

/**
 * The run of a pause container that has joined the namespace at the path.
 *
 * @throws CriError Internal when it is in another one
 */
export async function runInside(
  id: string,
  inspect: ContainerInspect,
  path: string,
): Promise<PauseRun | undefined> {
  const { run } = await podNetns(id, inspect);
  if (run === undefined || run.netnsInode === (await netnsInode(path))) return run;
  throw new CriError("Internal", `sandbox ${id}: the pause container is not in ${path}`);
}

/** CNI ADD. What DEL will need is in the record before the first plugin runs. */
export async function attachNetwork(
  deps: Pick<SandboxDeps, "network">,
  sandbox: RecordedSandbox,
  request: NetworkRequest & { containerId: string; signal: AbortSignal },
  place: PodPlace,
): Promise<NetworkAttachment> {
  let tried: NetworkAttachment | undefined;
  const setUpRequest: SetUpRequest = {
    ...request,
    netns: place.path,
    isOurs: place.isOurs,
    beforeAdd: async (planned) => {
      await sandbox.enter("networking", { ...place.known, network: planned });
      tried = planned;
      failpoint("run.before-add");
    },
  };
  try {
    return await deps.network.setUp(setUpRequest);
  } catch (error) {
    // With that DEL need not undo what never was. The undoing would write "stopping" next.
    if (tried !== undefined && isPluginsWord(error)) {
      await sandbox.enterAnyway("stopping", { network: { ...tried, addFailed: true } });
    }
    throw error;
  }
}
