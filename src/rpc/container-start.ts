import { posix } from "node:path";
import { decodeContainerSpec, decodeSandboxSpec } from "../convert/stored-spec.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError, errorText, invalidArgument, notFound } from "../errors.ts";
import { isStatus, isUncertain } from "../engine/errors.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import type { LogTarget } from "../logs/container-logs.ts";
import { failpoint } from "../sys/failpoint.ts";
import type { PodDeps } from "../pods/deps.ts";
import { writeContainerEdits } from "../containers/edits.ts";
import { inspectByName } from "../pods/lookup.ts";
import type { ResizeDeps } from "../containers/resize.ts";
import { isServing } from "../pods/pod-netns.ts";
import { requirePodAddresses } from "../pods/addresses.ts";
import { relabelVolumes } from "../containers/selinux-relabel.ts";
import { hasEnded } from "../containers/running-process.ts";
import { requireTarget } from "../containers/target-container.ts";

/** Which form new containers' logs take. */
export interface LogChoice {
  format: LogTarget["format"];
  /** `<root>/containers/<id>/<id>-json.log`, known without an inspect. */
  sourcePath(containerId: string): Promise<string>;
}

export type StartDeps = PodDeps & ResizeDeps & { logChoice: LogChoice };

/** StartContainer and ReopenContainerLog. */
export function containerStart(
  deps: StartDeps,
): Pick<Handlers<typeof RuntimeService>, "startContainer" | "reopenContainerLog"> {
  return {
    startContainer: async (request, context) => {
      const container = await find(deps, request.containerId, "start");
      return await deps.locks.run(
        `container:${container.name}`,
        async () => {
          await requireStartable(deps, container.id);
          await start(deps, container, context.signal);
          return {};
        },
        context.signal,
      );
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

/**
 * A container is started once, in a pod that is ready; one that runs already is fine, since the answer of its start
 * may have been lost. Memory decides; only what speaks against the start is asked for again.
 *
 * @throws FailedPrecondition
 */
async function requireStartable(deps: StartDeps, containerId: string): Promise<void> {
  const known = deps.index.peek(containerId);
  if (known === undefined || known.identity.kind !== "container" || known.state.Running) return;
  if (deps.hooks.isUnfinished(known)) {
    throw new CriError(
      "FailedPrecondition",
      `start: container ${containerId}: what NRI plugins said of it at its create is not known`,
    );
  }
  const { podSandboxId, extra } = known.identity;
  const refuse = (why: string): CriError =>
    new CriError("FailedPrecondition", `start: container ${containerId} ${why}`);
  if (hasEnded(known)) {
    const now = await deps.index.find("container", containerId, { fresh: true });
    if (now?.state.Running === true) return;
    if (now !== undefined && hasEnded(now)) throw refuse("has exited; it cannot be started again");
  }
  if (!(await isReady(deps, podSandboxId))) throw notReady(containerId, podSandboxId);
  const options = decodeContainerSpec(extra.spec)?.linux?.securityContext?.namespaceOptions;
  const sandbox = deps.index.peek(podSandboxId);
  // What was checked at the create may have ended since.
  if (sandbox !== undefined) await requireTarget(deps.index, options, sandbox);
}

const notReady = (containerId: string, podSandboxId: string): CriError =>
  new CriError(
    "FailedPrecondition",
    `start: container ${containerId} cannot be started: its pod sandbox ${podSandboxId} is not ready`,
  );

/**
 * Once more right before the start reaches Docker, and from memory alone: a StopPodSandbox that has begun meanwhile
 * has looked at this container already.
 *
 * @throws FailedPrecondition
 */
export function requireNotStopping(
  { index, records }: Pick<StartDeps, "index" | "records">,
  { id, identity }: ContainerEntry,
): void {
  if (identity.kind !== "container" || index.peek(id)?.state.Running === true) return;
  const { podSandboxId } = identity;
  if ((records.byId(podSandboxId)?.phase ?? "ready") !== "ready") throw notReady(id, podSandboxId);
}

async function isReady(deps: StartDeps, podSandboxId: string): Promise<boolean> {
  const record = deps.records.byId(podSandboxId);
  if ((record?.phase ?? "ready") !== "ready") return false;
  const serves = (sandbox: ContainerEntry | undefined): boolean =>
    sandbox?.state.Running === true && isServing(record, sandbox);
  if (serves(deps.index.peek(podSandboxId))) return true;
  return serves(await deps.index.find("podsandbox", podSandboxId, { fresh: true }));
}

async function start(
  deps: StartDeps,
  container: ContainerEntry,
  signal: AbortSignal,
): Promise<void> {
  await requirePodAddresses(deps, container);
  const target = await logTargetOf(deps, container);
  // Before the start: a container that dies at once is still read from its first line.
  if (target !== undefined) {
    await deps.hostPaths.mustAnswer(target.logDirectory, "start: log_directory");
    await deps.logs.start({ ...target, running: container.state.Running });
  }
  failpoint("start.after-log");
  await relabelVolumes(deps, container);
  const begin = async (): Promise<void> => {
    const edits = await deps.hooks.beforeStart(container);
    await writeContainerEdits(deps, container, edits);
    failpoint("start.after-edits");
    // New labels on a large volume take minutes. A caller that has gone makes another container by now.
    signal.throwIfAborted();
    await deps.owedLimits.startWith(container, () => startInDocker(deps, container));
  };
  // One that runs already was reported, and only its answer was lost.
  const isNew = !container.state.Running;
  if (isNew && deps.hooks.active) {
    await deps.hooks.containerStart(container.id, begin);
    return;
  }
  await begin();
  if (isNew && deps.hooks.active) await deps.hooks.containerStarted(container.id);
}

async function startInDocker(deps: StartDeps, container: ContainerEntry): Promise<void> {
  requireNotStopping(deps, container);
  let answer: "running" | undefined;
  try {
    // Only a start that this request made says what the container does now.
    if (await deps.engine.startContainer(container.id)) answer = "running";
    failpoint("start.after-start");
  } catch (error) {
    // A volume's missing sub path is a 404 as well, and so is the pod's pause container.
    if (isStatus(error, 404) && /no such container/i.test(error.message)) {
      if (!error.message.includes(container.id)) {
        throw new CriError(
          "FailedPrecondition",
          `start container ${container.id}: ${error.message}`,
          {
            cause: error,
          },
        );
      }
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
    // A short one may be over by now.
    const ran = now?.state.Running === true || now?.state.Status === "exited";
    if (!ran) throw error;
  } finally {
    deps.index.touched(container.id, answer);
  }
  deps.users.started(container);
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
