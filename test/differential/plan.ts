import { posix } from "node:path";
import { MountPropagation } from "../../src/gen/runtime/v1/api_pb.js";
import type { ContainerInit, SandboxInit } from "../support/pods.ts";

/** One container that both runtimes are asked for. */
export interface ContainerCase {
  readonly name: string;
  /** Over a container of the probe's image that runs the probe. */
  readonly container: ContainerInit;
}

/**
 * One pod and its containers. In every string `$SRC` stands for a folder that each runtime has for itself, with the same
 * content for both (fixtures.ts), and `$RUN` for a folder that all plans of one runtime share.
 */
export interface PodPlan {
  readonly name: string;
  readonly sandbox: SandboxInit;
  readonly runtimeHandler?: string;
  readonly containers: readonly ContainerCase[];
}

/** Replaces strings anywhere in a value; bytes and bigints stay. */
export function mapStrings<T>(value: T, map: (text: string) => string): T {
  const walk = (part: unknown): unknown => {
    if (typeof part === "string") return map(part);
    if (Array.isArray(part)) return part.map(walk);
    if (part === null || typeof part !== "object" || part instanceof Uint8Array) return part;
    return Object.fromEntries(Object.entries(part).map(([key, inner]) => [key, walk(inner)]));
  };
  return walk(value) as T;
}

/**
 * containerd makes all mounts at one mount point: on top of one that goes both ways the last one reaches the node's
 * path, where the pod's other containers see it.
 */
export function withoutCarrying(one: ContainerInit): ContainerInit {
  const { mounts = [] } = one;
  const pointOf = ({ containerPath = "" }): string =>
    posix.normalize(`/${containerPath}`).replace(/(.)\/$/, "$1");
  const settled = mounts.map((mount, at) => {
    const isCovered = mounts.slice(at + 1).some((later) => pointOf(later) === pointOf(mount));
    const goesBoth = mount.propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL;
    return isCovered && goesBoth
      ? { ...mount, propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER }
      : mount;
  });
  return { ...one, ...(one.mounts === undefined ? {} : { mounts: settled }) };
}
