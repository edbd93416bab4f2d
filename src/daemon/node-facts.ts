import { existsSync, readFileSync } from "node:fs";
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
  const cgroupVersion = info.CgroupVersion === "2" ? 2 : 1;
  const has = (name: string): boolean => security.some((line) => line.includes(`name=${name}`));
  return {
    apiMinor: self.apiMinor,
    cgroupDriver: info.CgroupDriver === "systemd" ? "systemd" : "cgroupfs",
    cgroupVersion,
    usernsRemap: has("userns"),
    selinuxEnabled: has("selinux"),
    // Engines to 24.0 do not tell.
    noNewPrivilegesByDefault: has("no-new-privileges") || self.apiMinor <= 43,
    apparmorEnabled: has("apparmor"),
    ipv6: existsSync("/proc/sys/net/ipv6"),
    hugepages: limitsHugepages(cgroupVersion),
    runtimes: Object.keys(info.Runtimes ?? {}),
    defaultRuntime: info.DefaultRuntime,
    editingRuntimes,
    oomScoreFloor: options.oomScoreFloor,
    missingCapabilities: options.missingCapabilities,
    logMaxSize: options.logMaxSize,
    logMaxFiles: options.logMaxFiles,
    shimPerPod: options.shimPerPod,
    dockerRootDir: info.DockerRootDir,
    cdiFolders: info.CDISpecDirs ?? [],
  };
}

/** Asked each time: somebody may mount the hierarchy while the daemon runs. */
function limitsHugepages(cgroupVersion: 1 | 2): boolean {
  const root = "/sys/fs/cgroup";
  if (cgroupVersion === 1) return existsSync(`${root}/hugetlb/cgroup.procs`);
  try {
    return readFileSync(`${root}/cgroup.controllers`, "utf8").split(/\s/).includes("hugetlb");
  } catch {
    // A hidden cgroup tree says nothing; the limit's own file decides then.
    return true;
  }
}

/** Before the first contact: only shown, never acted on. */
export const unknownEngine: EngineSelf = {
  apiMinor: 41,
  version: { Version: "", ApiVersion: "1.41", Os: "linux", Arch: "", KernelVersion: "" },
  info: {
    ID: "",
    ServerVersion: "",
    Driver: "",
    DriverStatus: null,
    DockerRootDir: "/var/lib/docker",
    CgroupDriver: "cgroupfs",
    KernelVersion: "",
    OperatingSystem: "",
    Architecture: "",
    NCPU: 0,
    MemTotal: 0,
    LoggingDriver: "",
    LiveRestoreEnabled: false,
    SecurityOptions: null,
    DefaultRuntime: "runc",
    Runtimes: null,
  },
};
