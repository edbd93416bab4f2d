import { create } from "@bufbuild/protobuf";
import { invalidArgument } from "../errors.ts";
import type { DeviceMapping, HostConfig } from "../engine/types.ts";
import { CDIDeviceSchema } from "../gen/runtime/v1/api_pb.js";
import type { CDIDevice, ContainerConfig, Device } from "../gen/runtime/v1/api_pb.js";
import { API, type EngineFacts, type HandlerFacts } from "./engine-facts.ts";
import { quoted, requireAbsolutePath, unimplemented } from "./field-checks.ts";

const PERMISSIONS = /^[rwm]{1,3}$/;
const CDI_NAME =
  /^[A-Za-z][A-Za-z0-9_.-]*\/[A-Za-z][A-Za-z0-9_.-]*=[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;
const CDI_ANNOTATION = "cdi.k8s.io/";

/** CRI devices → Docker's; only what the request names, never what an image says. */
export function toDeviceMappings(devices: readonly Device[]): DeviceMapping[] {
  return devices.map((device, index) => {
    const field = `devices[${index}]`;
    // No runtime takes an empty one for all three.
    if (!PERMISSIONS.test(device.permissions)) {
      throw invalidArgument(`${field}.permissions: ${quoted(device.permissions)} is not of "rwm"`);
    }
    return {
      PathOnHost: requireAbsolutePath(`${field}.host_path`, device.hostPath),
      PathInContainer: requireAbsolutePath(`${field}.container_path`, device.containerPath),
      CgroupPermissions: device.permissions,
    };
  });
}

/** The engine injects CDI devices itself. */
export function engineHasCdi({ cdiFolders = [] }: Pick<EngineFacts, "cdiFolders">): boolean {
  return cdiFolders.length > 0;
}

/**
 * The request's CDI devices, and those that its annotations name: what the kubelet makes of the
 * answer of a device plugin that knows no other way.
 *
 * @throws InvalidArgument naming the annotation
 */
export function withAnnotatedDevices(config: ContainerConfig): ContainerConfig {
  const names = new Set<string>();
  for (const [key, value] of Object.entries(config.annotations)) {
    if (!key.startsWith(CDI_ANNOTATION)) continue;
    for (const name of value.split(",")) {
      names.add(requireCdiName(`annotations[${quoted(key)}]`, name));
    }
  }
  for (const { name } of config.CDIDevices) names.delete(name);
  if (names.size === 0) return config;
  const added = [...names].map((name) => create(CDIDeviceSchema, { name }));
  return { ...config, CDIDevices: [...config.CDIDevices, ...added] };
}

function requireCdiName(field: string, name: string): string {
  if (name.length <= 512 && CDI_NAME.test(name)) return name;
  throw invalidArgument(`${field}: ${quoted(name)} is not vendor/class=name`);
}

/**
 * CDI devices → Docker's own CDI request; undefined for none, and where the engine has no CDI and edits
 * carry them.
 *
 * @throws Unimplemented without either, with what to do about it
 */
export function toDeviceRequests(
  devices: readonly CDIDevice[],
  facts: HandlerFacts<"apiMinor" | "cdiFolders">,
): HostConfig["DeviceRequests"] | undefined {
  if (devices.length === 0) return undefined;
  const names = devices.map(({ name }, index) => requireCdiName(`CDI_devices[${index}]`, name));
  if (!engineHasCdi(facts)) {
    if (facts.editing !== undefined) return undefined;
    const engine =
      facts.apiMinor < API.cdi
        ? "this Docker Engine is too old for CDI (it came with Docker 25)"
        : 'CDI is switched off in Docker: set "features": {"cdi": true} in daemon.json and restart it';
    throw unimplemented(
      `CDI_devices: ${engine}, or register dockline-oci for this runtime with dockline install-runtime`,
    );
  }
  return [{ Driver: "cdi", DeviceIDs: [...new Set(names)] }];
}
