import { clone, create } from "@bufbuild/protobuf";
import type { InspectFacts } from "./inspect-facts.ts";
import {
  ContainerSchema,
  ContainerStatusSchema,
  MountPropagation,
  MountSchema,
  type Container,
  type ContainerConfig,
  type ContainerStatus,
  type LinuxContainerResources,
  type Mount,
} from "../gen/runtime/v1/api_pb.js";
import type { ContainerFacts, ImageNames } from "./container-facts.ts";
import { toShownImage } from "./container-image.ts";
import { parseImageId } from "./image-ref.ts";
import { fromHostConfig, type ResourceFacts } from "./resources.ts";
import { fromDockerSignal } from "./signals.ts";
import { containerRun } from "./state.ts";
import { decodeContainerSpec } from "./stored-spec.ts";

/** Ids that a container's first process had right after its start. */
export interface ProcessIds {
  readonly uid: bigint;
  readonly gid: bigint;
  readonly supplementalGroups: readonly bigint[];
}

export interface StatusInput {
  /** Undefined when the image is gone. */
  readonly image: ImageNames | undefined;
  readonly engine: ResourceFacts;
  /** What was asked last (mergeResources); without it, what the container was created with. */
  readonly resources?: LinuxContainerResources | undefined;
  /** What the first process began with; without it, what Docker's User says when it is all numbers. */
  readonly user?: ProcessIds | undefined;
}

const ID = /^[0-9]{1,10}$/;

/** A container for ListContainers. `facts` need not have been inspected. */
export function toContainer(facts: ContainerFacts, image: ImageNames | undefined): Container {
  const { identity } = facts;
  const shown = toShownImage(facts, storedSpec(facts)?.image, image);
  return create(ContainerSchema, {
    id: facts.id,
    podSandboxId: identity.podSandboxId,
    metadata: { name: identity.metadata.name, attempt: identity.metadata.attempt },
    image: shown.spec,
    imageRef: shown.imageRef,
    imageId: shown.imageId,
    state: containerRun(facts.state, facts.createdAtNs).state,
    createdAt: facts.createdAtNs,
    labels: identity.labels,
    annotations: identity.annotations,
  });
}

/** A container for ContainerStatus; what both messages hold is equal to toContainer's. */
export function toContainerStatus(facts: ContainerFacts, input: StatusInput): ContainerStatus {
  const listed = toContainer(facts, input.image);
  const run = containerRun(facts.state, facts.createdAtNs);
  const { inspect, identity } = facts;
  const spec = storedSpec(facts);
  const user = input.user ?? numericUser(inspect);
  return create(ContainerStatusSchema, {
    id: listed.id,
    ...(listed.metadata === undefined ? {} : { metadata: listed.metadata }),
    ...(listed.image === undefined ? {} : { image: listed.image }),
    imageRef: listed.imageRef,
    imageId: listed.imageId,
    state: listed.state,
    createdAt: listed.createdAt,
    startedAt: run.startedAtNs,
    finishedAt: run.finishedAtNs,
    exitCode: run.exitCode,
    reason: run.reason,
    message: run.message,
    labels: listed.labels,
    annotations: listed.annotations,
    mounts: identity.legacy ? legacyMounts(inspect) : (spec?.mounts ?? []).map(shownMount),
    logPath: identity.logPath,
    stopSignal: fromDockerSignal(inspect?.Config.StopSignal),
    ...(inspect === undefined
      ? {}
      : {
          resources: {
            linux: fromHostConfig(
              inspect.HostConfig,
              input.resources ?? spec?.linux?.resources,
              input.engine,
            ),
          },
        }),
    ...(user === undefined
      ? {}
      : {
          user: {
            linux: {
              uid: user.uid,
              gid: user.gid,
              // Docker lists the process's own group again where it was asked for as a supplementary one.
              supplementalGroups: [...new Set(user.supplementalGroups)],
            },
          },
        }),
  });
}

/** The part of the request kept for the status; undefined for legacy containers. */
export function storedSpec(facts: ContainerFacts): ContainerConfig | undefined {
  return decodeContainerSpec(facts.identity.extra.spec);
}

/** Verbatim, since the kubelet finds the termination message by it; images show their id besides. */
function shownMount(mount: Mount): Mount {
  if (mount.image === undefined || mount.image.imageRef !== "") return mount;
  const imageRef = parseImageId(mount.image.image);
  if (imageRef === undefined) return mount;
  const shown = clone(MountSchema, mount);
  if (shown.image !== undefined) shown.image.imageRef = imageRef;
  return shown;
}

/** cri-dockerd kept no mounts: Docker's list, made of its Binds or Mounts, is all there is. */
function legacyMounts(inspect: InspectFacts | undefined): Mount[] {
  return (inspect?.Mounts ?? [])
    .filter((mount) => mount.Type === "bind")
    .map((mount) =>
      create(MountSchema, {
        containerPath: mount.Destination,
        hostPath: mount.Source,
        readonly: !mount.RW,
        propagation: fromPropagation(mount.Propagation ?? ""),
      }),
    )
    .sort((a, b) => (a.containerPath < b.containerPath ? -1 : 1));
}

function fromPropagation(propagation: string): MountPropagation {
  switch (propagation) {
    case "shared":
    case "rshared":
      return MountPropagation.PROPAGATION_BIDIRECTIONAL;
    case "slave":
    case "rslave":
      return MountPropagation.PROPAGATION_HOST_TO_CONTAINER;
    default:
      return MountPropagation.PROPAGATION_PRIVATE;
  }
}

/** "uid:gid" tells all that the first process got; anything less depends on the image's files. */
export function numericUser(inspect: InspectFacts | undefined): ProcessIds | undefined {
  const [uid = "", gid = ""] = inspect?.Config.User.split(":") ?? [];
  const groups = inspect?.HostConfig.GroupAdd ?? [];
  if (!ID.test(uid) || !ID.test(gid) || !groups.every((group) => ID.test(group))) return undefined;
  return {
    uid: BigInt(uid),
    gid: BigInt(gid),
    supplementalGroups: [...new Set([gid, ...groups])].map(BigInt),
  };
}
