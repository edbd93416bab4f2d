import { randomBytes } from "node:crypto";
import { configHash } from "../convert/config-hash.ts";
import { engineHasCdi, withAnnotatedDevices } from "../convert/devices.ts";
import { toContainerCreate } from "../convert/container-spec.ts";
import { isArtifact } from "../convert/image-out.ts";
import { readIdentity, toContainerLabels } from "../convert/labels.ts";
import { checkMounts } from "../convert/mounts.ts";
import { containerName, withRandomSuffix } from "../convert/names.ts";
import { editingRuntime } from "../convert/runtime-handler.ts";
import { encodeContainerSpec } from "../convert/stored-spec.ts";
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
import type { PodDeps } from "../pods/deps.ts";
import { cdiEnvironment, factsForCdi, wantsEdits } from "../containers/edits.ts";
import { imageUserFacts, type ImageUserDeps } from "../containers/image-user.ts";
import { holdImageMounts } from "../containers/image-mounts.ts";
import type { ImageMounts } from "../containers/image-mounts.ts";
import { ownLimits, ownLogOptions } from "../containers/daemon-defaults.ts";
import { warnOfLeftOut } from "../containers/left-out.ts";
import { missingAtCreate } from "../containers/missing-at-create.ts";
import { inspectByName } from "../pods/lookup.ts";
import { removeOrLeave } from "../pods/ending.ts";
import { isServing } from "../pods/pod-netns.ts";
import { readSeccompProfile, requireAppArmorProfile } from "../containers/security-files.ts";
import { requireTarget } from "../containers/target-container.ts";
import { createAndTell, tellOfCreated } from "../pods/told-create.ts";

export interface ContainerCreateDeps extends PodDeps, Pick<ImageUserDeps, "imageAccounts"> {
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
      if (deps.hooks.starting !== undefined) await deps.hooks.starting;
      const sandbox = await readySandbox(deps, request.podSandboxId);
      const name = containerName(config.metadata, sandboxConfig.metadata);
      const containerId = await deps.locks.run(
        `container:${name}`,
        async () => {
          const wanted = { name, config, sandboxConfig, sandbox };
          return await createOrReuse(deps, wanted, context.signal);
        },
        context.signal,
      );
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
  if (!sandbox.state.Running || !isServing(deps.records.byId(sandbox.id), sandbox)) {
    throw new CriError("FailedPrecondition", `create: pod sandbox ${sandbox.id} is not ready`);
  }
  deps.sandboxes.claim([sandbox]);
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
    const whole = { ...wanted, config: withAnnotatedDevices(config) };
    return await createNew(deps, whole, hash, volumes, signal);
  } finally {
    volumes.release();
  }
}

async function createNew(
  deps: ContainerCreateDeps,
  wanted: Wanted,
  hash: string,
  volumes: ImageMounts,
  signal: AbortSignal,
): Promise<string> {
  const { name, config } = wanted;
  const image = config.image?.image ?? "";
  // By id, as the kubelet gives it: memory knows it. What only the list has told says nothing of this.
  const { images } = deps.index;
  const listed = images.peek(image);
  const known = listed?.inspected === false ? await images.find(image).catch(() => listed) : listed;
  if (known !== undefined && isArtifact(known.inspect)) {
    throw new CriError(
      "FailedPrecondition",
      `create container: ${image} is an OCI artifact, no container image`,
    );
  }
  const body = await specOf(deps, wanted, hash, volumes, signal);
  const asked = { envs: config.envs, mounts: config.mounts, resources: config.linux?.resources };
  warnOfLeftOut(deps.log, {}, asked, await deps.facts());
  const create = async (under: string): Promise<string> => {
    const spec =
      under === name ? body : await specOf(deps, { ...wanted, name: under }, hash, volumes, signal);
    return await createAndTell(deps, { ...wanted, name: under, body: spec });
  };
  const orReveal = (under: string): Promise<string> =>
    create(under).catch((lost: unknown) => {
      if (isUncertain(lost)) deps.hooks.reveal(under);
      throw lost;
    });
  try {
    return await create(name);
  } catch (error) {
    const missing = missingAtCreate(error, {
      image,
      podSandboxId: wanted.sandbox.id,
      targetId: config.linux?.securityContext?.namespaceOptions?.targetId ?? "",
      mounts: config.mounts,
      made: body.HostConfig.Mounts ?? [],
    });
    if (missing !== undefined) throw missing;
    if (isStatus(error, 409)) return await settleConflict(deps, name, hash, orReveal);
    if (isUncertain(error)) {
      // The engine may have made it: the name tells.
      const found = await inspectByName(deps, name).catch(() => undefined);
      const identity = readIdentity({ name, labels: found?.Config.Labels ?? null });
      if (found !== undefined && identity?.extra.hash === hash) {
        await tellOfCreated(deps, { ...wanted, body, id: found.Id });
        return found.Id;
      }
      deps.hooks.reveal(name);
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
  // Under the lock of its name, what is still being made was refused.
  const unfinished = deps.hooks.isUnfinished(now) || deps.hooks.isBeingMade(now.name);
  if (sameRequest && !unfinished && (unused || now.state.Running))
    return { reused: now.id, held: false };
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
  signal: AbortSignal,
) {
  const { name, config, sandboxConfig, sandbox } = wanted;
  const security = config.linux?.securityContext;
  const facts = await factsForCdi(config, sandbox, await deps.facts());
  await requireTarget(deps.index, security?.namespaceOptions, sandbox);
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- kubelets to 1.36 send both fields
  requireAppArmorProfile(security?.apparmor, security?.apparmorProfile ?? "");
  const seccompProfile = await readSeccompProfile(
    security?.seccomp,
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- read when the new field is unset
    security?.seccompProfilePath ?? "",
    security?.privileged ?? false,
    deps.hostPaths,
  );
  // Nothing is made on the node for a request whose user or mounts are refused.
  const image = await imageUserFacts(deps, config);
  const editing = editingRuntime(sandbox.identity.runtimeHandler, facts);
  checkMounts(config.mounts, { ...facts, editing }, volumes.sources);
  // Docker ignores the devices of privileged containers, which have all of them.
  if (security?.privileged !== true) await deps.hostPaths.requireDevices(config.devices);
  const mounts = await deps.hostPaths.ofMounts(config.mounts, signal);
  // What plugins will ask for is carried out by the edits of the start.
  const { adjusting, judging } = deps.hooks;
  const edited =
    (await wantsEdits({ ...config, mounts }, sandbox, facts)) ||
    (adjusting && editing !== undefined);
  return toContainerCreate({
    config: { ...config, mounts, envs: [...config.envs, ...(await cdiEnvironment(config, facts))] },
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
        ...(judging ? { nri: true as const } : {}),
        ...(volumes.copied.length > 0 ? { imageVolumes: volumes.copied } : {}),
      },
    ),
    engine: { ...facts, ulimits: ownLimits(sandbox), logOptions: ownLogOptions(sandbox) },
    imageSources: volumes.sources,
    ...(seccompProfile === undefined ? {} : { seccompProfile }),
    image,
  });
}
