import { invalidArgument } from "../errors.ts";
import type { DeviceMapping, HostConfig } from "../engine/types.ts";
import type { CDIDevice, Device } from "../gen/runtime/v1/api_pb.js";
import { API, type HandlerFacts } from "./engine-facts.ts";
import { quoted, requireAbsolutePath, unimplemented } from "./field-checks.ts";

const PERMISSIONS = /^[rwm]{1,3}$/;
const CDI_NAME =
  /^[A-Za-z][A-Za-z0-9_.-]*\/[A-Za-z][A-Za-z0-9_-]*=[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;

/** CRI devices → Docker's; only what the request names, never what an image or annotation says. */
export function toDeviceMappings(devices: readonly Device[]): DeviceMapping[] {
  return devices.map((device, index) => {
    const field = `devices[${index}]`;
    const permissions = device.permissions === "" ? "rwm" : device.permissions;
    if (!PERMISSIONS.test(permissions)) {
      throw invalidArgument(`${field}.permissions: ${quoted(device.permissions)} is not of "rwm"`);
    }
    return {
      PathOnHost: requireAbsolutePath(`${field}.host_path`, device.hostPath),
      PathInContainer: requireAbsolutePath(`${field}.container_path`, device.containerPath),
      CgroupPermissions: permissions,
    };
  });
}

/**
 * CDI devices → Docker's own CDI request; undefined for none, and below API 1.44 where edits carry
 * them. Unimplemented without either.
 */
export function toDeviceRequests(
  devices: readonly CDIDevice[],
  facts: HandlerFacts<"apiMinor">,
): HostConfig["DeviceRequests"] | undefined {
  if (devices.length === 0) return undefined;
  const names = devices.map(({ name }, index) => {
    if (name.length > 512 || !CDI_NAME.test(name)) {
      throw invalidArgument(`CDI_devices[${index}]: ${quoted(name)} is not vendor/class=name`);
    }
    return name;
  });
  if (facts.apiMinor < API.cdi) {
    if (facts.editing !== undefined) return undefined;
    throw unimplemented(
      `CDI_devices: this Docker Engine has no CDI (API 1.${API.cdi}), and dockline-oci is not registered for this runtime; see dockline install-runtime`,
    );
  }
  return [{ Driver: "cdi", DeviceIDs: [...new Set(names)] }];
}
