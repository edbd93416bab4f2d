import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ContainerConfigSchema,
  NamespaceMode,
  PodSandboxConfigSchema,
  type ContainerConfig,
  type PodSandboxConfig,
} from "../gen/runtime/v1/api_pb.js";

/**
 * What Docker cannot hold of a container's request but ContainerStatus must give back: mounts and
 * image as asked, requested resources, stop signal; and what the edits of its OCI spec are made of
 * at each start: ambient capabilities, and CDI devices where the engine has no CDI; and the container to
 * debug, which is checked again at the start. Kept in the authoritative label as base64 of a
 * ContainerConfig with only these fields, so that not a byte of them is lost.
 */
export function encodeContainerSpec(config: ContainerConfig, engineHasCdi = true): string {
  const ambient = config.linux?.securityContext?.capabilities?.addAmbientCapabilities ?? [];
  const { pid, targetId = "" } = config.linux?.securityContext?.namespaceOptions ?? {};
  const securityContext = {
    ...(ambient.length === 0 ? {} : { capabilities: { addAmbientCapabilities: ambient } }),
    ...(pid === NamespaceMode.TARGET ? { namespaceOptions: { pid, targetId } } : {}),
  };
  const hasSecurity = Object.keys(securityContext).length > 0;
  const kept = create(ContainerConfigSchema, {
    mounts: config.mounts,
    stopSignal: config.stopSignal,
    ...(config.image === undefined ? {} : { image: config.image }),
    ...(engineHasCdi ? {} : { CDIDevices: config.CDIDevices }),
    ...(config.linux?.resources === undefined && !hasSecurity
      ? {}
      : {
          linux: {
            ...(config.linux?.resources === undefined ? {} : { resources: config.linux.resources }),
            ...(hasSecurity ? { securityContext } : {}),
          },
        }),
  });
  return Buffer.from(toBinary(ContainerConfigSchema, kept)).toString("base64");
}

/**
 * The same for a sandbox: log directory, namespaces, overhead, resources, cgroup parent, and the
 * published ports, which DEL has to know when the sandbox's record was lost.
 */
export function encodeSandboxSpec(config: PodSandboxConfig): string {
  const { linux } = config;
  const namespaceOptions = linux?.securityContext?.namespaceOptions;
  const kept = create(PodSandboxConfigSchema, {
    logDirectory: config.logDirectory,
    hostname: config.hostname,
    portMappings: config.portMappings.filter(({ hostPort }) => hostPort > 0),
    linux: {
      cgroupParent: linux?.cgroupParent ?? "",
      ...(namespaceOptions === undefined ? {} : { securityContext: { namespaceOptions } }),
      ...(linux?.overhead === undefined ? {} : { overhead: linux.overhead }),
      ...(linux?.resources === undefined ? {} : { resources: linux.resources }),
    },
  });
  return Buffer.from(toBinary(PodSandboxConfigSchema, kept)).toString("base64");
}

/** Undefined for an object without a stored spec (a legacy one), or with one that does not decode. */
export function decodeContainerSpec(spec: string | undefined): ContainerConfig | undefined {
  if (spec === undefined) return undefined;
  try {
    return fromBinary(ContainerConfigSchema, Buffer.from(spec, "base64"));
  } catch {
    return undefined;
  }
}

export function decodeSandboxSpec(spec: string | undefined): PodSandboxConfig | undefined {
  if (spec === undefined) return undefined;
  try {
    return fromBinary(PodSandboxConfigSchema, Buffer.from(spec, "base64"));
  } catch {
    return undefined;
  }
}
