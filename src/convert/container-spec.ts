/*
 * src/convert: the translation between the CRI and Docker, both ways, as pure functions.
 * Not here: I/O, clock, environment and state: the same input gives the same output.
 */
import { invalidArgument } from "../errors.ts";
import type { ContainerCreate, HostConfig } from "../engine/types.ts";
import type { ContainerConfig, PodSandboxConfig } from "../gen/runtime/v1/api_pb.js";
import { toCgroupParent } from "./cgroup-parent.ts";
import { toDeviceMappings, toDeviceRequests } from "./devices.ts";
import type { EngineFacts } from "./engine-facts.ts";
import { toDockerEnvironment } from "./environment.ts";
import { requireAbsolutePath, requireNoNul } from "./field-checks.ts";
import { lookupReference } from "./image-ref.ts";
import { toDockerMounts } from "./mounts.ts";
import { toContainerNamespaces } from "./namespaces.ts";
import { planResources } from "./resources.ts";
import { toDockerUser, type ImageUserFacts } from "./run-as.ts";
import { editingRuntime } from "./runtime-handler.ts";
import { commonHostConfig } from "./sandbox-spec.ts";
import { toContainerSecurity } from "./security-context.ts";
import { toDockerSignal } from "./signals.ts";

export interface ContainerSpecInput {
  readonly config: ContainerConfig;
  readonly sandboxConfig: PodSandboxConfig;
  readonly sandboxId: string;
  /** Docker's name of the pause container. */
  readonly sandboxName: string;
  /** The sandbox's: members have no handler of their own. */
  readonly runtimeHandler: string;
  /** From toContainerLabels. */
  readonly labels: Record<string, string>;
  readonly engine: EngineFacts;
  /** From needsEdits: it runs under dockline-oci. */
  readonly edited?: boolean;
  /** Text of the localhost seccomp profile, when localhostSeccompPath names one. */
  readonly seccompProfile?: string;
  /** Of image mounts (toDockerMounts). */
  readonly imageSources?: ReadonlyMap<number, string>;
  /** What the image says of users; its accounts are wanted when needsImageAccounts says so. */
  readonly image?: ImageUserFacts;
}

/**
 * CreateContainer → Docker's create and what must be done beside it.
 *
 * @throws InvalidArgument or Unimplemented naming the field
 */
export function toContainerCreate(input: ContainerSpecInput): ContainerCreate {
  const { config, sandboxConfig } = input;
  const editing = editingRuntime(input.runtimeHandler, input.engine);
  const engine = { ...input.engine, editing };
  const context = config.linux?.securityContext;
  const privileged = context?.privileged ?? false;
  if (privileged && sandboxConfig.linux?.securityContext?.privileged !== true) {
    throw invalidArgument("privileged: not in a sandbox that is not privileged");
  }
  const mounts = toDockerMounts(config.mounts, engine, input.imageSources);
  const resources = planResources(config.linux?.resources, engine);
  const deviceRequests = toDeviceRequests(config.CDIDevices, engine);
  const cgroupParent = toCgroupParent(sandboxConfig.linux?.cgroupParent ?? "", engine);
  const { User, GroupAdd } = toDockerUser(context, input.image);
  const hostConfig: HostConfig = {
    ...toContainerNamespaces(
      context?.namespaceOptions,
      input.sandboxId,
      engine,
      privileged,
      sandboxConfig.linux?.securityContext?.namespaceOptions,
    ),
    ...commonHostConfig(
      input.runtimeHandler,
      input.sandboxName,
      engine,
      input.edited === true ? editing : undefined,
    ),
    ...toContainerSecurity(context, engine, input.seccompProfile),
    ...resources.docker,
    GroupAdd,
    Mounts: mounts,
    Devices: toDeviceMappings(config.devices),
    ...(deviceRequests === undefined ? {} : { DeviceRequests: deviceRequests }),
    ...(cgroupParent === undefined ? {} : { CgroupParent: cgroupParent }),
    ...(resources.oomScoreAdj === undefined ? {} : { OomScoreAdj: resources.oomScoreAdj }),
  };
  return { ...processFields(config, User), Labels: input.labels, HostConfig: hostConfig };
}

function processFields(
  config: ContainerConfig,
  user: string | undefined,
): Omit<ContainerCreate, "Labels" | "HostConfig"> {
  const stopSignal = toDockerSignal(config.stopSignal);
  const workingDir =
    config.workingDir === "" ? "" : requireAbsolutePath("working_dir", config.workingDir);
  return {
    Image: lookupReference(config.image?.image ?? ""),
    ...command(config),
    Env: toDockerEnvironment(config.envs),
    ...(workingDir === "" ? {} : { WorkingDir: workingDir }),
    ...(user === undefined ? {} : { User: user }),
    OpenStdin: config.stdin,
    StdinOnce: config.stdinOnce,
    AttachStdin: config.stdin,
    Tty: config.tty,
    ...(stopSignal === undefined ? {} : { StopSignal: stopSignal }),
    Healthcheck: { Test: ["NONE"] },
  };
}

/**
 * A command replaces the image's entrypoint and, without args, its Cmd too; args alone replace only
 * Cmd. Docker drops the image's Cmd only when told a list, even an empty one.
 */
function command(config: ContainerConfig): Pick<ContainerCreate, "Entrypoint" | "Cmd"> {
  for (const text of config.command) requireNoNul("command", text);
  for (const text of config.args) requireNoNul("args", text);
  if (config.command.length > 0) return { Entrypoint: [...config.command], Cmd: [...config.args] };
  return config.args.length > 0 ? { Cmd: [...config.args] } : {};
}
