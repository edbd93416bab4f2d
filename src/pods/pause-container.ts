import { randomBytes } from "node:crypto";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { readIdentity, toSandboxLabels } from "../convert/labels.ts";
import { withRandomSuffix, withoutSuffix } from "../convert/names.ts";
import type { AskedName, DockerName, SandboxId } from "../convert/names.ts";
import { encodeSandboxSpec } from "../convert/stored-spec.ts";
import { toSandboxCreate } from "../convert/sandbox-spec.ts";
import { toPodIds } from "../convert/user-namespace.ts";
import type { PodIds } from "../convert/user-namespace.ts";
import { CriError, errorText } from "../errors.ts";
import { isStatus, isUncertain } from "../engine/errors.ts";
import type { ContainerCreate, ContainerInspect } from "../engine/types.ts";
import type { PodSandboxConfig } from "../gen/runtime/v1/api_pb.js";
import { failpoint } from "../sys/failpoint.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import { writeSandboxEdits } from "../containers/edits.ts";
import { repeatIfLost } from "./lost-answer.ts";
import { inspectByName } from "./lookup.ts";
import { readSeccompProfile, requireAppArmorProfile } from "../containers/security-files.ts";

export interface WantedSandbox {
  name: AskedName;
  config: PodSandboxConfig;
  runtimeHandler: string;
  /** Of configuration and handler (config-hash.ts). */
  hash: string;
}

/** A pause container that Docker will be asked for; the name is part of its labels. */
export interface PausePlan {
  wanted: WantedSandbox;
  specOf(name: DockerName): ContainerCreate;
  /** Of a user namespace: then it runs under dockline-oci. */
  podIds: PodIds | undefined;
  /** Path of the network namespace that Dockline makes for it: then too. */
  ownNetns: string | undefined;
}

/**
 * Checks every field and reads the profile that one may name.
 *
 * @throws CriError InvalidArgument or Unimplemented naming the field
 */
export async function planPauseContainer(
  deps: Pick<SandboxDeps, "pause">,
  wanted: WantedSandbox,
  facts: EngineFacts,
  ownNetns: string | undefined,
): Promise<PausePlan> {
  const { config, runtimeHandler, hash } = wanted;
  const security = config.linux?.securityContext;
  requireAppArmorProfile(security?.apparmor, "");
  const seccompProfile = await readSeccompProfile(
    security?.seccomp,
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- read when the new field is unset
    security?.seccompProfilePath ?? "",
    security?.privileged ?? false,
  );
  const specOf = (name: DockerName): ContainerCreate =>
    toSandboxCreate({
      config,
      name,
      runtimeHandler,
      labels: toSandboxLabels(config, runtimeHandler, name, {
        hash,
        spec: encodeSandboxSpec(config),
      }),
      pauseImage: deps.pause.reference,
      engine: facts,
      ownNetns: ownNetns !== undefined,
      ...(seccompProfile === undefined ? {} : { seccompProfile }),
    });
  specOf(withoutSuffix(wanted.name));
  const podIds = toPodIds(config.linux?.securityContext?.namespaceOptions);
  return { wanted, specOf, podIds, ownNetns };
}

/**
 * Creates the pause container and returns its id. A missing image is fetched and the create
 * repeated (the engine's 404 is the check); a taken name or a lost answer is settled by looking the
 * name up.
 */
export async function createPauseContainer(
  deps: SandboxDeps,
  plan: PausePlan,
  signal: AbortSignal,
): Promise<SandboxId> {
  const { name, hash } = plan.wanted;
  const create = async (under: DockerName): Promise<SandboxId> => {
    const spec = plan.specOf(under);
    const { id } = await deps.engine.createContainer(under, spec);
    failpoint("run.after-create");
    deps.index.created(id, under, spec);
    return id as SandboxId;
  };
  const createSettled = async (): Promise<SandboxId> => {
    try {
      return await create(withoutSuffix(name));
    } catch (error) {
      if (isStatus(error, 409)) return await settleConflict(deps, name, create);
      if (isUncertain(error)) return await settleLostAnswer(deps, name, hash, error, create);
      throw error;
    }
  };
  try {
    return await createSettled();
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
    await deps.pause.ensure(signal);
    return await createSettled();
  }
}

/**
 * Starts it; an answer that got lost is asked for again, and then says "runs already".
 *
 * @param netns path of the namespace that it joins; undefined for one that Docker makes
 */
export async function startPauseContainer(
  deps: SandboxDeps,
  id: string,
  { podIds, ownNetns }: Pick<PausePlan, "podIds" | "ownNetns">,
  netns: string | undefined,
): Promise<void> {
  if (podIds !== undefined || ownNetns !== undefined) {
    await writeSandboxEdits(deps, id, { podIds, netns });
  }
  failpoint("run.after-edits");
  try {
    await repeatIfLost(deps.clock, () => deps.engine.startContainer(id));
  } finally {
    deps.index.touched(id);
  }
}

/**
 * The name is taken although neither a record nor the index knows it: somebody else's container has
 * it, or a left-over of ours, which is removed; a stranger that runs keeps running.
 */
async function settleConflict(
  deps: SandboxDeps,
  name: AskedName,
  create: (name: DockerName) => Promise<SandboxId>,
): Promise<SandboxId> {
  const found = await inspectByName(deps, name);
  if (found === undefined) return await create(withoutSuffix(name));
  const identity = readIdentity({ name, labels: found.Config.Labels ?? {} });
  if (found.State.Running) {
    const whose = identity === undefined ? ", which is not a pod's" : "";
    throw new CriError("AlreadyExists", `container name ${name} is in use by ${found.Id}${whose}`);
  }
  if (identity === undefined) return await create(randomised(name));
  try {
    await deps.engine.removeContainer(found.Id);
    deps.index.removed(found.Id);
  } catch (error) {
    // "Removal in progress" can last as long as a leaked mount does: take another name (F17).
    deps.log.warn({ sandbox: name, error: errorText(error) }, "a left-over keeps its name");
    return await create(randomised(name));
  }
  return await create(withoutSuffix(name));
}

const randomised = (name: AskedName): DockerName =>
  withRandomSuffix(name, randomBytes(4).toString("hex"));

async function settleLostAnswer(
  deps: SandboxDeps,
  name: AskedName,
  hash: string,
  lost: unknown,
  create: (name: DockerName) => Promise<SandboxId>,
): Promise<SandboxId> {
  let found: ContainerInspect | undefined;
  try {
    found = await inspectByName(deps, name);
  } catch {
    throw lost;
  }
  if (found === undefined) return await create(withoutSuffix(name));
  const identity = readIdentity({ name, labels: found.Config.Labels ?? {} });
  if (identity?.extra.hash !== hash) throw lost;
  deps.index.touched(found.Id);
  return found.Id as SandboxId;
}
