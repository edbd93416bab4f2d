import type { EditingRuntime } from "../convert/engine-facts.ts";
import type { EngineSelf } from "../engine/info-cache.ts";

const specFeatures = "org.opencontainers.runtime-spec.features";

/**
 * What a runtime handler can do beyond the ordinary, from what the OCI runtime says of itself
 * (engines ≥ 25 pass it on) and from the kernel (mount_setattr came with 5.12), and from what
 * dockline-oci tried.
 */
export function handlerFeatures(
  handler: string,
  self: EngineSelf,
  editing: EditingRuntime | undefined,
): { recursiveReadOnlyMounts: boolean; userNamespaces: boolean } {
  const remapped = (self.info.SecurityOptions ?? []).some((line) => line.includes("name=userns"));
  const status = self.info.Runtimes?.[handler]?.status?.[specFeatures];
  return {
    recursiveReadOnlyMounts:
      self.apiMinor >= 44
        ? mountOptions(status).includes("rro") && kernelAtLeast(self.info.KernelVersion, 5, 12)
        : editing?.recursiveReadOnly === true,
    userNamespaces: editing !== undefined && editing.noUserNamespaces === undefined && !remapped,
  };
}

function mountOptions(status: string | undefined): unknown[] {
  try {
    const parsed = JSON.parse(status ?? "{}") as { mountOptions?: unknown };
    return Array.isArray(parsed.mountOptions) ? parsed.mountOptions : [];
  } catch {
    return [];
  }
}

function kernelAtLeast(version: string, major: number, minor: number): boolean {
  const [, foundMajor = "0", foundMinor = "0"] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return (
    Number(foundMajor) > major || (Number(foundMajor) === major && Number(foundMinor) >= minor)
  );
}
