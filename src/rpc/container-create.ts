import { randomBytes } from "node:crypto";
import { configHash } from "../convert/config-hash.ts";
import { toContainerCreate } from "../convert/container-spec.ts";
import { readIdentity, toContainerLabels } from "../convert/labels.ts";
import { containerName, withRandomSuffix } from "../convert/names.ts";
import { needsImageAccounts } from "../convert/run-as.ts";
import { encodeContainerSpec } from "../convert/stored-spec.ts";
import type { ImageAccounts } from "../convert/user.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError, invalidArgument, notFound } from "../errors.ts";
import { isStatus, isUncertain } from "../engine/errors.ts";
import { ContainerConfigSchema } from "../gen/runtime/v1/api_pb.js";
import type {
  ContainerConfig,
  PodSandboxConfig,
  RuntimeService,
} from "../gen/runtime/v1/api_pb.js";
import type { ImageVolumes } from "../images/image-volumes.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import { failpoint } from "../sys/failpoint.ts";
import type { PodDeps } from "./deps.ts";
import { engineHasCdi, wantsEdits } from "./edits.ts";
import { requireHostPaths } from "./host-paths.ts";
import { holdImageMounts } from "./image-mounts.ts";
import type { ImageMounts } from "./image-mounts.ts";
import { ownLimits, ownLogOptions } from "./daemon-defaults.ts";
import { inspectByName } from "./sandbox-lookup.ts";
import { removeOrLeave } from "./sandbox-teardown.ts";
import {
  readSeccompProfile,
  requireAppArmorProfile,
  requireSelinuxLabel,
} from "./security-files.ts";
import { requireTarget } from "./target-container.ts";

export interface ContainerCreateDeps extends PodDeps {
  /** /etc/passwd and /etc/group of an image, read once for each image id. */
  imageAccounts(imageId: string): Promise<ImageAccounts>;
  /** Copies of images for volumes, on engines without image mounts. */
  volumes: ImageVolumes;
}

/** CreateContainer. */
export function containerCreate(
  deps: ContainerCreateDeps,
): Pick<Handlers<typeof RuntimeService>, "createContainer"> {
  return {
    createContainer: async (request, context) => {
      const { config, sandboxConfig } = request;
      if (config?.metadata === undefined) throw invalidArgument("config.metadata is missing");
      if (sandboxConfig?.metadata === undefined) {
        throw invalidArgument("sandbox_config.metadata is missing");
      }
      if ((config.image?.image ?? "") === "") throw invalidArgument("config.image is missing");
      const sandbox = await readySandbox(deps, request.podSandboxId);
      deps.setups.claim(sandbox.name);
      const name = containerName(config.metadata, sandboxConfig.metadata);
      const containerId = await deps.locks.run(`container:${name}`, async () => {
        context.signal.throwIfAborted();
        const wanted = { name, config, sandboxConfig, sandbox };
        return await createOrReuse(deps, wanted, context.signal);
      });
      return { containerId };
    },
  };
}

interface Wanted {
  name: string;
  config: ContainerConfig;
  sandboxConfig: PodSandboxConfig;
  sandbox: ContainerEntry;
}

async function readySandbox(deps: PodDeps, podSandboxId: string): Promise<ContainerEntry> {
  if (podSandboxId === "") throw invalidArgument("create: pod sandbox id is empty");
  const known = await deps.index.find("podsandbox", podSandboxId, { asKnown: true });
  // One that was just started is known to run; what it was made of takes an inspect, once.
  const sandbox =
    known?.inspect !== undefined && known.state.Running && known.state.Pid > 0
      ? known
      : await deps.index.find("podsandbox", podSandboxId);
  if (sandbox === undefined) throw notFound(`create: no pod sandbox ${podSandboxId}`);
  const phase = deps.records.byId(sandbox.id)?.phase ?? "ready";
  if (!sandbox.state.Running || phase !== "ready") {
    throw new CriError("FailedPrecondition", `create: pod sandbox ${sandbox.id} is not ready`);
  }
  return sandbox;
}

async function createOrReuse(
  deps: ContainerCreateDeps,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<string> {
  const { name, config, sandbox } = wanted;
  const hash = configHash(ContainerConfigSchema, config, sandbox.id);
  const existing = await deps.index.byName(name);
  if (existing !== undefined) {
    const sameRequest = existing.identity.extra.hash === hash;
    const { reused } = await reuse(deps, existing.id, sameRequest, name);
    if (reused !== undefined) return reused;
  }
  const volumes = await holdImageMounts(
    { volumes: deps.volumes, images: deps.index.images },
    config.mounts,
    await deps.facts(),
    signal,
  );
  try {
    return await createNew(deps, wanted, hash, volumes);
  } finally {
    volumes.release();
  }
}

async function createNew(
  deps: ContainerCreateDeps,
  wanted: Wanted,
  hash: string,
  volumes: ImageMounts,
): Promise<string> {
  const { name, config } = wanted;
  const body = await specOf(deps, wanted, hash, volumes);
  const create = async (under: string): Promise<string> => {
    const spec =
      under === name ? body : await specOf(deps, { ...wanted, name: under }, hash, volumes);
    const { id } = await deps.engine.createContainer(under, spec);
    failpoint("create.after-create");
    deps.index.created(id, under, spec);
    return id;
  };
  try {
    return await create(name);
  } catch (error) {
    if (isStatus(error, 404)) {
      throw notFound(`create container: no image ${config.image?.image ?? ""} on this node`);
    }
    if (isStatus(error, 409)) return await settleConflict(deps, name, hash, create);
    if (isUncertain(error)) {
      // The engine may have made it: the name tells.
      const found = await inspectByName(deps, name).catch(() => undefined);
      const identity = readIdentity({ name, labels: found?.Config.Labels ?? null });
      if (found !== undefined && identity?.extra.hash === hash) return found.Id;
    }
    throw error;
  }
}

/**
 * What to do with a container of the same name: the same request made it and it is usable → its id;
 * it is dead → removed, or where that fails `held` with its name; it runs from another request →
 * AlreadyExists.
 */
async function reuse(
  deps: PodDeps,
  id: string,
  sameRequest: boolean,
  name: string,
): Promise<{ reused?: string; held: boolean }> {
  const now = await deps.index.find("container", id);
  if (now === undefined) return { held: false };
  const unused = now.state.Status === "created" && now.state.ExitCode === 0;
  if (sameRequest && (unused || now.state.Running)) return { reused: now.id, held: false };
  if (now.state.Running) {
    throw new CriError("AlreadyExists", `container ${name} runs from another request as ${now.id}`);
  }
  const removed = await removeOrLeave(deps, now.id);
  if (removed) await deps.logs.remove(now.id);
  return { held: !removed };
}

async function settleConflict(
  deps: PodDeps,
  name: string,
  hash: string,
  create: (name: string) => Promise<string>,
): Promise<string> {
  const found = await inspectByName(deps, name);
  if (found === undefined) return await create(name);
  const identity = readIdentity({ name, labels: found.Config.Labels ?? null });
  if (identity === undefined) {
    if (found.State.Running) {
      throw new CriError("AlreadyExists", `container name ${name} is in use by ${found.Id}`);
    }
    return await create(withRandomSuffix(name, randomBytes(4).toString("hex")));
  }
  const { reused, held } = await reuse(deps, found.Id, identity.extra.hash === hash, name);
  if (reused !== undefined) return reused;
  return await create(held ? withRandomSuffix(name, randomBytes(4).toString("hex")) : name);
}

async function specOf(
  deps: ContainerCreateDeps,
  wanted: Wanted,
  hash: string,
  volumes: ImageMounts,
) {
  const { name, config, sandboxConfig, sandbox } = wanted;
  const security = config.linux?.securityContext;
  const facts = await deps.facts();
  await requireTarget(deps.index, security?.namespaceOptions, sandbox);
  const mounts = await requireHostPaths(config.mounts);
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- kubelets to 1.36 send both fields
  requireAppArmorProfile(security?.apparmor, security?.apparmorProfile ?? "");
  requireSelinuxLabel(security?.selinuxOptions, facts);
  const seccompProfile = await readSeccompProfile(
    security?.seccomp,
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- read when the new field is unset
    security?.seccompProfilePath ?? "",
    security?.privileged ?? false,
  );
  const edited = await wantsEdits({ ...config, mounts }, sandbox, facts);
  return toContainerCreate({
    config: { ...config, mounts },
    edited,
    sandboxConfig,
    sandboxId: sandbox.id,
    sandboxName: sandbox.name,
    runtimeHandler: sandbox.identity.runtimeHandler,
    labels: toContainerLabels(
      config,
      { logDirectory: sandboxConfig.logDirectory },
      sandbox.id,
      name,
      sandbox.identity.runtimeHandler,
      {
        hash,
        spec: encodeContainerSpec(config, engineHasCdi(facts)),
        ...(edited ? { edited } : {}),
        ...(volumes.copied.length > 0 ? { imageVolumes: volumes.copied } : {}),
      },
    ),
    engine: { ...facts, ulimits: ownLimits(sandbox), logOptions: ownLogOptions(sandbox) },
    imageSources: volumes.sources,
    ...(seccompProfile === undefined ? {} : { seccompProfile }),
    ...(needsImageAccounts(security) ? { image: await imageUser(deps, config) } : {}),
  });
}

async function imageUser(
  deps: ContainerCreateDeps,
  config: ContainerConfig,
): Promise<{ user: string | undefined; accounts: ImageAccounts }> {
  const reference = config.image?.image ?? "";
  const image = await deps.index.images.find(reference);
  if (image === undefined) throw notFound(`create container: no image ${reference} on this node`);
  return {
    user: image.inspect.Config?.User,
    accounts: await deps.imageAccounts(image.id),
  };
}
