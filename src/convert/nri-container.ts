import { create } from "@bufbuild/protobuf";
import type { HostConfig } from "../engine/types.ts";
import {
  ContainerSchema,
  ContainerState,
  type Container,
  type LinuxResources,
} from "../gen/nri/v1alpha1/api_pb.js";
import { SecurityProfile_ProfileType, type ContainerConfig } from "../gen/runtime/v1/api_pb.js";
import type { ContainerFacts, ImageNames } from "./container-facts.ts";
import { numericUser } from "./container-out.ts";
import type { EngineFacts } from "./engine-facts.ts";
import { containerMounts } from "./nri-mounts-out.ts";
import { cgroupsPath } from "./nri-pod.ts";
import { defined } from "./nri-resources.ts";
import { containerRun } from "./state.ts";

/** What is known of a container's process and mounts: from its create, or from an inspect. */
export interface ProcessFacts {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly host: Partial<HostConfig>;
}

export interface NriContainerInput {
  readonly facts: ContainerFacts;
  /** Undefined when neither was seen. */
  readonly process: ProcessFacts | undefined;
  /** As asked, or what is stored of that. */
  readonly config: ContainerConfig | undefined;
  /** Of now. */
  readonly resources: LinuxResources | undefined;
  readonly image: ImageNames | undefined;
  readonly engine: Pick<EngineFacts, "cgroupDriver" | "dockerRootDir">;
  /** The pod's, as its create asked for it. */
  readonly cgroupParent: string;
  /** Of its network namespace: "" for the host's. */
  readonly netns: string;
  /** The event, not Docker, distinguishes CREATED from UNKNOWN. */
  readonly atCreate?: boolean;
}

/**
 * A container as plugins see it. Docker makes the OCI spec only at the start, so what is said of it here is predicted
 * from what the spec will be made of. What is 0 or not asked for is absent.
 */
export function toNriContainer(input: NriContainerInput): Container {
  const { facts, process, config, image } = input;
  const { identity } = facts;
  const run = containerRun(facts.state, facts.createdAtNs);
  const host = process?.host ?? facts.inspect?.HostConfig ?? {};
  const user = numericUser(facts.inspect);
  return create(
    ContainerSchema,
    defined({
      id: facts.id,
      podSandboxId: identity.podSandboxId,
      name: identity.metadata.name,
      state: input.atCreate === true ? ContainerState.CONTAINER_UNKNOWN : stateOf(facts),
      labels: identity.labels,
      annotations: identity.annotations,
      args: [...(process?.args ?? [])],
      env: [...(process?.env ?? [])],
      mounts:
        process === undefined ? [] : containerMounts(host, input.engine, identity.podSandboxId),
      linux: linuxOf(input, host),
      pid: facts.state.Running ? facts.state.Pid : 0,
      rlimits: (host.Ulimits ?? []).map(({ Name, Soft, Hard }) => ({
        type: `RLIMIT_${Name.toUpperCase()}`,
        hard: BigInt.asUintN(64, BigInt(Hard)),
        soft: BigInt.asUintN(64, BigInt(Soft)),
      })),
      createdAt: facts.createdAtNs,
      startedAt: run.startedAtNs,
      finishedAt: run.finishedAtNs,
      exitCode: run.exitCode,
      statusReason: run.reason,
      statusMessage: run.message,
      CDIDevices: (config?.CDIDevices ?? []).map(({ name }) => ({ name })),
      user:
        user === undefined
          ? undefined
          : {
              uid: Number(user.uid),
              gid: Number(user.gid),
              additionalGids: user.supplementalGroups.map(Number),
            },
      image: {
        name: config?.image?.image ?? facts.image,
        digest: image?.repoDigests[0]?.split("@")[1] ?? "",
        configDigest: facts.imageId,
      },
    }),
  );
}

function linuxOf(input: NriContainerInput, host: Partial<HostConfig>) {
  const { facts, config, resources } = input;
  const oomScore = config?.linux?.resources?.oomScoreAdj ?? BigInt(host.OomScoreAdj ?? 0);
  const seccomp = config?.linux?.securityContext?.seccomp;
  return defined({
    namespaces: namespacesOf(host, input.netns),
    devices: (host.Devices ?? []).map(({ PathInContainer }) => ({ path: PathInContainer })),
    resources,
    oomScoreAdj: { value: oomScore },
    cgroupsPath: cgroupsPath(input.cgroupParent, facts.id, input.engine),
    seccompProfile:
      seccomp === undefined
        ? undefined
        : { profileType: profileType(seccomp.profileType), localhostRef: seccomp.localhostRef },
    sysctl: { ...host.Sysctls },
  });
}

/** The numbers are the same, but for a value that one of them may get later. */
function profileType(type: SecurityProfile_ProfileType): number {
  return type === SecurityProfile_ProfileType.Unconfined
    ? 1
    : type === SecurityProfile_ProfileType.Localhost
      ? 2
      : 0;
}

/** Docker joins those of the pause container; which those are shows at the start. */
function namespacesOf(host: Partial<HostConfig>, netns: string) {
  const list = [
    { type: "mount", path: "" },
    ...(host.PidMode === "host" ? [] : [{ type: "pid", path: "" }]),
    ...(host.IpcMode === "host" ? [] : [{ type: "ipc", path: "" }]),
    ...(host.UTSMode === "host" ? [] : [{ type: "uts", path: "" }]),
    ...(host.CgroupnsMode === "private" ? [{ type: "cgroup", path: "" }] : []),
  ];
  return netns === "" ? list : [...list, { type: "network", path: netns }];
}

function stateOf({ state }: ContainerFacts): ContainerState {
  if (state.Paused) return ContainerState.CONTAINER_PAUSED;
  if (state.Running) return ContainerState.CONTAINER_RUNNING;
  const unstarted = state.Status === "created" && state.ExitCode === 0 && state.Error === "";
  return unstarted ? ContainerState.CONTAINER_CREATED : ContainerState.CONTAINER_STOPPED;
}
