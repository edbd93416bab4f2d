import { existsSync } from "node:fs";
import type { EditingRuntime, EngineFacts } from "../convert/engine-facts.ts";
import type { EngineSelf } from "../engine/info-cache.ts";

/** What the configuration adds to what the engine says of itself. */
export interface NodeOptions {
  logMaxSize: string;
  logMaxFiles: number;
  shimPerPod: boolean;
  oomScoreFloor: number;
  missingCapabilities: readonly string[];
}

/** The engine's own words and the node's, as the translation wants them. */
export function engineFacts(
  self: EngineSelf,
  options: NodeOptions,
  editingRuntimes: readonly EditingRuntime[],
): EngineFacts {
  const { info } = self;
  const security = info.SecurityOptions ?? [];
  const has = (name: string): boolean => security.some((line) => line.includes(`name=${name}`));
  return {
    apiMinor: self.apiMinor,
    cgroupDriver: info.CgroupDriver === "systemd" ? "systemd" : "cgroupfs",
    cgroupVersion: info.CgroupVersion === "2" ? 2 : 1,
    usernsRemap: has("userns"),
    selinuxEnabled: has("selinux"),
    // Engines to 24.0 do not tell.
    noNewPrivilegesByDefault: has("no-new-privileges") || self.apiMinor <= 43,
    apparmorEnabled: has("apparmor"),
    ipv6: existsSync("/proc/sys/net/ipv6"),
    runtimes: Object.keys(info.Runtimes ?? {}),
    defaultRuntime: info.DefaultRuntime,
    editingRuntimes,
    oomScoreFloor: options.oomScoreFloor,
    missingCapabilities: options.missingCapabilities,
    logMaxSize: options.logMaxSize,
    logMaxFiles: options.logMaxFiles,
    shimPerPod: options.shimPerPod,
    dockerRootDir: info.DockerRootDir,
  };
}

/** True with the containerd image store: ids are manifest digests, files lie elsewhere. */
export function usesContainerdStore(self: EngineSelf): boolean {
  return (self.info.DriverStatus ?? []).some(
    ([key, value]) => key === "driver-type" && value.startsWith("io.containerd.snapshotter"),
  );
}
