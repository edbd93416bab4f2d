import { randomBytes } from "node:crypto";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { readIdentity, toSandboxLabels } from "../convert/labels.ts";
import { withRandomSuffix } from "../convert/names.ts";
import { encodeSandboxSpec } from "../convert/stored-spec.ts";
import { toSandboxCreate } from "../convert/sandbox-spec.ts";
import { CriError, errorText } from "../errors.ts";
import { isStatus, isUncertain } from "../engine/errors.ts";
import type { ContainerCreate, ContainerInspect } from "../engine/types.ts";
import type { PodSandboxConfig } from "../gen/runtime/v1/api_pb.js";
import { readSeccompProfile } from "./security-files.ts";
import type { PodDeps } from "./deps.ts";

interface Wanted {
  name: string;
  config: PodSandboxConfig;
  runtimeHandler: string;
}

/**
 * Creates the pause container and returns its id. A missing image is fetched and the create
 * repeated (the engine's 404 is the check); a taken name or a lost answer is settled by looking the
 * name up.
 */
export async function createPauseContainer(
  deps: PodDeps,
  wanted: Wanted,
  facts: EngineFacts,
  hash: string,
  signal: AbortSignal,
): Promise<string> {
  const seccompProfile = await readSeccompProfile(wanted.config.linux?.securityContext?.seccomp);
  const specOf = (name: string): ContainerCreate =>
    toSandboxCreate({
      config: wanted.config,
      name,
      runtimeHandler: wanted.runtimeHandler,
      labels: toSandboxLabels(wanted.config, wanted.runtimeHandler, name, {
        hash,
        spec: encodeSandboxSpec(wanted.config),
      }),
      pauseImage: deps.pause.reference,
      engine: facts,
      ...(seccompProfile === undefined ? {} : { seccompProfile }),
    });
  const create = async (name: string): Promise<string> => {
    const spec = specOf(name);
    const { id } = await deps.engine.createContainer(name, spec);
    deps.index.created(id, name, spec);
    return id;
  };
  try {
    return await create(wanted.name);
  } catch (error) {
    if (isStatus(error, 404)) {
      await deps.pause.ensure(signal);
      return await create(wanted.name);
    }
    if (isStatus(error, 409)) return await settleConflict(deps, wanted.name, create);
    if (isUncertain(error)) return await settleLostAnswer(deps, wanted.name, hash, error, create);
    throw error;
  }
}

/**
 * The name is taken although no record of ours knows it: the state folder was lost, or somebody
 * else's container has it. Ours is removed (its network is unknown); a stranger keeps running.
 */
async function settleConflict(
  deps: PodDeps,
  name: string,
  create: (name: string) => Promise<string>,
): Promise<string> {
  const found = await inspectByName(deps, name);
  if (found === undefined) return await create(name);
  const identity = readIdentity({ name, labels: found.Config.Labels ?? {} });
  if (found.State.Running && identity === undefined) {
    throw new CriError(
      "AlreadyExists",
      `container name ${name} is in use by ${found.Id}, which is not a pod's`,
    );
  }
  if (identity === undefined) return await create(randomised(name));
  try {
    await deps.engine.removeContainer(found.Id);
    deps.index.removed(found.Id);
  } catch (error) {
    // "Removal in progress" can last as long as a leaked mount does: take another name (F17).
    deps.log.warn({ name, error: errorText(error) }, "a left-over keeps its name");
    return await create(randomised(name));
  }
  return await create(name);
}

const randomised = (name: string): string => withRandomSuffix(name, randomBytes(4).toString("hex"));

async function settleLostAnswer(
  deps: PodDeps,
  name: string,
  hash: string,
  lost: unknown,
  create: (name: string) => Promise<string>,
): Promise<string> {
  let found: ContainerInspect | undefined;
  try {
    found = await inspectByName(deps, name);
  } catch {
    throw lost;
  }
  if (found === undefined) return await create(name);
  const identity = readIdentity({ name, labels: found.Config.Labels ?? {} });
  if (identity?.extra.hash !== hash) throw lost;
  deps.index.touched(found.Id);
  return found.Id;
}

/** undefined when the engine knows no container of that name. */
export async function inspectByName(
  deps: Pick<PodDeps, "engine" | "index">,
  name: string,
): Promise<ContainerInspect | undefined> {
  const mark = deps.index.mark();
  try {
    const found = await deps.engine.inspectContainer(name);
    deps.index.observed(found, mark);
    return found;
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw error;
  }
}
