import { invalidArgument } from "../errors.ts";
import {
  NamespaceMode,
  type IDMapping,
  type NamespaceOption,
  type UserNamespace,
} from "../gen/runtime/v1/api_pb.js";

/** A pod's ids: 0 inside is `hostId` outside, `size` of them, users and groups alike. */
export interface PodIds {
  readonly hostId: number;
  readonly size: number;
}

/** Host ids below belong to the node's own users; the kubelet never gives them to a pod. */
const FIRST_POD_ID = 65536;
const END_OF_IDS = 2 ** 32 - 1;

/**
 * The pod's user namespace; undefined is the node's. Members must ask for what their pod has: see
 * requireSamePodIds.
 *
 * @throws InvalidArgument naming the field: everything but POD with one mapping from id 0 on, and
 * what cannot be together with a namespace (the kernel lets it mount no proc, sysfs or mqueue of
 * namespaces that it does not own)
 */
export function toPodIds(options: NamespaceOption | undefined): PodIds | undefined {
  const userns = options?.usernsOptions;
  if (userns === undefined || userns.mode === NamespaceMode.NODE) {
    refuseMappingsOfNode(userns);
    return undefined;
  }
  if (userns.mode !== NamespaceMode.POD) {
    const name = NamespaceMode[userns.mode] as string | undefined;
    throw refusal(`mode ${name ?? String(userns.mode)} is not supported`);
  }
  for (const kind of ["network", "pid", "ipc"] as const) {
    if (options?.[kind] === NamespaceMode.NODE) {
      throw refusal(`not together with the node's ${kind} namespace`);
    }
  }
  const uids = onlyMapping("uids", userns.uids);
  const gids = onlyMapping("gids", userns.gids);
  if (uids.hostId !== gids.hostId || uids.size !== gids.size) {
    throw refusal("uids and gids must be mapped alike");
  }
  return uids;
}

/** What an operator should know of a mapping that is carried out all the same; "" for nothing. */
export function mappingWarning(ids: PodIds | undefined): string {
  if (ids === undefined || ids.hostId >= FIRST_POD_ID) return "";
  const root = ids.hostId === 0 ? ", its root being the node's root" : "";
  return `the pod's user namespace holds ids of the node's own users, from ${ids.hostId} on${root}`;
}

/** @throws InvalidArgument when a container asks for other ids than its pod has */
export function requireSamePodIds(container: PodIds | undefined, pod: PodIds | undefined): void {
  if (container?.hostId !== pod?.hostId || container?.size !== pod?.size) {
    throw refusal("not that of the pod");
  }
}

export function isPodMapping(mappings: readonly IDMapping[], ids: PodIds | undefined): boolean {
  const [mapping] = mappings;
  return (
    ids !== undefined &&
    mappings.length === 1 &&
    mapping?.containerId === 0 &&
    mapping.hostId === ids.hostId &&
    mapping.length === ids.size
  );
}

function onlyMapping(field: "uids" | "gids", mappings: readonly IDMapping[]): PodIds {
  const [mapping] = mappings;
  if (mapping === undefined || mappings.length !== 1) {
    throw refusal(`${field}: ${mappings.length} mappings, where one is supported`);
  }
  const { containerId, hostId, length } = mapping;
  if (containerId !== 0) throw refusal(`${field}: id 0 of the container is not mapped`);
  if (length === 0 || length > END_OF_IDS - hostId) {
    throw refusal(`${field}: length ${length} is 0 or leaves the 32-bit ids`);
  }
  return { hostId, size: length };
}

function refuseMappingsOfNode(userns: UserNamespace | undefined): void {
  if ((userns?.uids.length ?? 0) > 0 || (userns?.gids.length ?? 0) > 0) {
    throw refusal("mappings are set, but the namespace is the node's");
  }
}

const refusal = (text: string): Error =>
  invalidArgument(`namespace_options.userns_options: ${text}`);
