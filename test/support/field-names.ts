import type { DescMessage } from "@bufbuild/protobuf";
import {
  CDIDeviceSchema,
  CapabilitySchema,
  ContainerConfigSchema,
  ContainerMetadataSchema,
  DNSConfigSchema,
  DeviceSchema,
  HugepageLimitSchema,
  IDMappingSchema,
  ImageSpecSchema,
  KeyValueSchema,
  LinuxContainerConfigSchema,
  LinuxContainerResourcesSchema,
  LinuxContainerSecurityContextSchema,
  LinuxPodSandboxConfigSchema,
  LinuxSandboxSecurityContextSchema,
  MountSchema,
  NamespaceOptionSchema,
  PodSandboxConfigSchema,
  PodSandboxMetadataSchema,
  PortMappingSchema,
  RunPodSandboxRequestSchema,
  SELinuxOptionSchema,
  SecurityProfileSchema,
  UpdateContainerResourcesRequestSchema,
  UpdatePodSandboxResourcesRequestSchema,
  UserNamespaceSchema,
} from "../../src/gen/runtime/v1/api_pb.js";

/** The messages that say what a pod and its containers are to be, in the page's order. */
export const fieldMessages: readonly DescMessage[] = [
  RunPodSandboxRequestSchema,
  PodSandboxConfigSchema,
  PodSandboxMetadataSchema,
  DNSConfigSchema,
  PortMappingSchema,
  LinuxPodSandboxConfigSchema,
  LinuxSandboxSecurityContextSchema,
  NamespaceOptionSchema,
  UserNamespaceSchema,
  IDMappingSchema,
  SELinuxOptionSchema,
  SecurityProfileSchema,
  ContainerConfigSchema,
  ContainerMetadataSchema,
  ImageSpecSchema,
  KeyValueSchema,
  MountSchema,
  DeviceSchema,
  CDIDeviceSchema,
  LinuxContainerConfigSchema,
  LinuxContainerResourcesSchema,
  HugepageLimitSchema,
  LinuxContainerSecurityContextSchema,
  CapabilitySchema,
  UpdateContainerResourcesRequestSchema,
  UpdatePodSandboxResourcesRequestSchema,
];

/** Only the way to a message with rows of its own. */
const structure: readonly string[] = [
  "RunPodSandboxRequest.config",
  "PodSandboxConfig.metadata",
  "PodSandboxConfig.dns_config",
  "PodSandboxConfig.port_mappings",
  "PodSandboxConfig.linux",
  "LinuxPodSandboxConfig.security_context",
  "LinuxSandboxSecurityContext.namespace_options",
  "ContainerConfig.metadata",
  "ContainerConfig.image",
  "ContainerConfig.envs",
  "ContainerConfig.mounts",
  "ContainerConfig.devices",
  "ContainerConfig.CDI_devices",
  "ContainerConfig.linux",
  "LinuxContainerConfig.resources",
  "LinuxContainerConfig.security_context",
  "LinuxContainerResources.hugepage_limits",
  "LinuxContainerSecurityContext.capabilities",
  "LinuxContainerSecurityContext.namespace_options",
  "UpdateContainerResourcesRequest.container_id",
  "UpdatePodSandboxResourcesRequest.pod_sandbox_id",
];

/** `Message.field` of every field that must have a row. */
export function fieldNames(): string[] {
  return fieldMessages
    .flatMap(({ name, fields }) => fields.map((field) => `${name}.${field.name}`))
    .filter((name) => !structure.includes(name));
}

/** The field of a row; rows may tell cases apart: `NamespaceOption.pid=TARGET`. */
export function fieldOfRow(row: string): string {
  return row.replace(/=.*$/s, "");
}
