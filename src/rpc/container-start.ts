import { posix } from "node:path";
import { decodeSandboxSpec } from "../convert/stored-spec.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError, errorText, invalidArgument, notFound } from "../errors.ts";
import { isStatus, isUncertain } from "../engine/errors.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import type { LogTarget } from "../logs/container-logs.ts";
import { failpoint } from "../sys/failpoint.ts";
import type { ResourceUpdates } from "../state/resource-updates.ts";
import type { PodDeps } from "./deps.ts";
import { writeContainerEdits } from "./edits.ts";
import { inspectByName } from "./sandbox-lookup.ts";
import { applyHostWrites } from "./host-writes.ts";
import { requirePodAddresses } from "./pod-addresses.ts";
import { relabelVolumes } from "./selinux-relabel.ts";

/** Which form new containers' logs take. */
export interface LogChoice {
  format: LogTarget["format"];
  /** `<root>/containers/<id>/<id>-json.log`, known without an inspect. */
  sourcePath(containerId: string): Promise<string>;
}

export type StartDeps = PodDeps & { logChoice: LogChoice; resources: ResourceUpdates };

/** StartContainer and ReopenContainerLog. */
export function containerStart(
  deps: StartDeps,
): Pick<Handlers<typeof RuntimeService>, "startContainer" | "reopenContainerLog"> {
  return {
    startContainer: async (request) => {
      const container = await find(deps, request.containerId, "start");
      return await deps.locks.run(`container:${container.name}`, async () => {
        await start(deps, container);
        return {};
      });
    },
    reopenContainerLog: async (request) => {
      const container = await find(deps, request.containerId, "reopen log");
      if (!container.state.Running) {
        throw new CriError(
          "FailedPrecondition",
          `reopen log: container ${container.id} is not running`,
        );
      }
      await deps.logs.reopen(container.id);
      return {};
    },
  };
}

async function start(deps: StartDeps, container: ContainerEntry): Promise<void> {
  await requirePodAddresses(deps, container);
  const target = await logTargetOf(deps, container);
  // Before the start: a container that dies at once is still read from its first line.
  if (target !== undefined) await deps.logs.start(target);
  failpoint("start.after-log");
  await relabelVolumes(deps, container);
  await writeContainerEdits(deps, container);
  failpoint("start.after-edits");
  let answer: "running" | undefined;
  try {
    // Only a start that this request made says what the container does now.
    if (await deps.engine.startContainer(container.id)) answer = "running";
    failpoint("start.after-start");
  } catch (error) {
    // A volume's missing sub path is a 404 as well.
    if (isStatus(error, 404) && /no such container/i.test(errorText(error))) {
      deps.index.removed(container.id);
      throw notFound(`start: the engine has no container ${container.id}`);
    }
    if (!isUncertain(error)) {
      // The engine calls it a failure of its own when the pod's namespaces are gone.
      const { identity } = container;
      const orphaned =
        identity.kind === "container" &&
        deps.index.peek(identity.podSandboxId)?.state.Running === false;
      throw new CriError(
        orphaned ? "FailedPrecondition" : "Internal",
        `start container ${container.id}: ${errorText(error)}`,
        { cause: error },
      );
    }
    // The answer was lost: what the container does now is the answer.
    const now = await deps.index.find("container", container.id, { fresh: true });
    if (now?.state.Running !== true) throw error;
  } finally {
    deps.index.touched(container.id, answer);
  }
  await applyHostWrites(deps, container);
}

const fullId = /^[0-9a-f]{64}$/;

async function find(deps: PodDeps, containerId: string, what: string): Promise<ContainerEntry> {
  if (containerId === "") throw invalidArgument(`${what}: container id is empty`);
  // Who it is will do: an inspect right after the create would only delay the start.
  let container = await deps.index.find("container", containerId, { asKnown: true });
  if (container === undefined && fullId.test(containerId)) {
    // A create that was just answered must never be unknown: the engine has the last word.
    await inspectByName(deps, containerId);
    container = await deps.index.find("container", containerId, { asKnown: true });
  }
  if (container === undefined) throw notFound(`${what}: no container ${containerId}`);
  return container;
}

/** Where a container's output goes; undefined when no log was asked for. */
export async function logTargetOf(
  deps: Pick<PodDeps, "index"> & { logChoice: LogChoice },
  container: ContainerEntry,
): Promise<LogTarget | undefined> {
  const { identity } = container;
  if (identity.kind !== "container" || identity.logPath === "") return undefined;
  const sandbox = deps.index.peek(identity.podSandboxId);
  const stored = decodeSandboxSpec(sandbox?.identity.extra.spec)?.logDirectory ?? "";
  // A pod taken over has no stored directory: the kubelet's form is <directory>/<container>/<n>.log.
  const directory =
    stored !== "" && identity.logPath.startsWith(`${posix.resolve(stored)}/`)
      ? posix.resolve(stored)
      : posix.dirname(posix.dirname(identity.logPath));
  return {
    containerId: container.id,
    sourcePath: await deps.logChoice.sourcePath(container.id),
    logDirectory: directory,
    logPath: posix.relative(directory, identity.logPath),
    // Pods taken over stay in dockershim's form for their life.
    format: identity.legacy ? "docker-json" : deps.logChoice.format,
  };
}
