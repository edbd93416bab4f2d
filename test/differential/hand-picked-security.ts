import {
  NamespaceMode,
  SecurityProfile_ProfileType as Profile,
  SupplementalGroupsPolicy as Policy,
} from "../../src/gen/runtime/v1/api_pb.js";
import type { ResourcesInit, SecurityInit } from "../support/containers.ts";
import type { ContainerInit } from "../support/pods.ts";
import type { ContainerCase } from "./plan.ts";
import { kubeletPaths } from "./kubelet-paths.ts";
import { richImage } from "./probe-image.ts";

const namespaceOptions = { pid: NamespaceMode.CONTAINER };

const secured = (
  name: string,
  security: SecurityInit,
  more: ContainerInit = {},
): ContainerCase => ({
  name,
  container: {
    linux: { resources: {}, securityContext: { namespaceOptions, ...kubeletPaths, ...security } },
    ...more,
  },
});
const limited = (name: string, resources: ResourcesInit): ContainerCase => ({
  name,
  container: { linux: { resources, securityContext: { namespaceOptions, ...kubeletPaths } } },
});
/** Long enough to be there when something is written after the start. */
const stays = ({ name, container }: ContainerCase): ContainerCase => ({
  name,
  container: { ...container, envs: [{ key: "PROBE_SECONDS", value: Buffer.from("2") }] },
});
const rich = { image: { image: richImage } };
const user = (value: bigint) => ({ value });

/** Name, path on the node, path in the container, permissions. */
const devices = [
  ["device", "/dev/full", "/dev/brimming", "r"],
  ["device that is there already", "/dev/zero", "/dev/zero", "rwm"],
  ["device elsewhere", "/dev/zero", "/data/zero", "rwm"],
  ["device that is missing", "/dev/none", "/dev/none", "rwm"],
  ["device that is a file", "$SRC/file", "/dev/file", "rwm"],
  ["device without permissions", "/dev/full", "/dev/full", ""],
  ["device with odd permissions", "/dev/full", "/dev/full", "rx"],
  ["folder of devices", "/dev/pts", "/dev/terminals", "rw"],
] as const;

export function securityCases(): ContainerCase[] {
  return [
    secured("user", { runAsUser: user(1000n) }),
    secured("user zero over the image's", { runAsUser: user(0n) }, rich),
    secured("user unknown to the image", { runAsUser: user(4242n) }),
    secured("user and group", { runAsUser: user(1000n), runAsGroup: user(3000n) }),
    secured("user by name", { runAsUsername: "web" }),
    secured("user by name and group", { runAsUsername: "web", runAsGroup: user(3000n) }),
    secured("user by name of nobody", { runAsUsername: "nobody-there" }),
    secured("user by number as name", { runAsUsername: "1001" }),
    secured("user whose line in passwd ends early", { runAsUsername: "early" }),
    secured("user whose number is somebody's name", { runAsUser: user(1003n) }),
    secured("user and name", { runAsUser: user(1001n), runAsUsername: "web" }),
    secured("group without user", { runAsGroup: user(3000n) }),
    secured("group without user, image with one", { runAsGroup: user(3000n) }, rich),
    secured("user below zero", { runAsUser: user(-1n) }),
    secured("user beyond 32 bits", { runAsUser: user(4294967296n) }),
    secured("groups", { runAsUser: user(1000n), supplementalGroups: [7n, 7n, 50000n] }),
    secured("groups, strict", {
      runAsUser: user(1000n),
      supplementalGroups: [7n],
      supplementalGroupsPolicy: Policy.Strict,
    }),
    secured("strict with the image's user", { supplementalGroupsPolicy: Policy.Strict }, rich),
    secured("strict, name and group", {
      runAsUsername: "web",
      runAsGroup: user(1000n),
      supplementalGroupsPolicy: Policy.Strict,
    }),
    secured("strict as root", { supplementalGroupsPolicy: Policy.Strict }),
    secured("own group among the groups", {
      runAsUser: user(1000n),
      runAsGroup: user(7n),
      supplementalGroups: [8n, 7n],
    }),
    secured("groups of root", { supplementalGroups: [12n] }),
    secured("group below zero", { supplementalGroups: [-5n] }),
    secured("capabilities", {
      capabilities: {
        addCapabilities: ["NET_ADMIN", "CAP_SYS_TIME"],
        dropCapabilities: ["CHOWN", "mknod"],
      },
    }),
    secured("all capabilities dropped, one added", {
      capabilities: { addCapabilities: ["NET_BIND_SERVICE"], dropCapabilities: ["ALL"] },
      runAsUser: user(1000n),
    }),
    secured("all capabilities added", { capabilities: { addCapabilities: ["ALL"] } }),
    secured("all added, some dropped", {
      capabilities: { addCapabilities: ["ALL"], dropCapabilities: ["SYS_ADMIN"] },
    }),
    secured("capability added and dropped", {
      capabilities: { addCapabilities: ["NET_RAW"], dropCapabilities: ["NET_RAW"] },
    }),
    secured("newer capability added", { capabilities: { addCapabilities: ["PERFMON"] } }),
    secured("capability that is none", { capabilities: { addCapabilities: ["NOT_ONE"] } }),
    secured("dropped capability that is none", { capabilities: { dropCapabilities: ["NOT_ONE"] } }),
    secured("no new privileges", { noNewPrivs: true }),
    secured("read-only root", { readonlyRootfs: true }),
    secured("read-only root, made folder", { readonlyRootfs: true }, { workingDir: "/made" }),
    secured("nothing masked", { maskedPaths: [], readonlyPaths: [] }),
    secured("masked paths of its own", {
      maskedPaths: ["/etc/group", "/data", "/none"],
      readonlyPaths: ["/data"],
    }),
    secured("masked path that is relative", { maskedPaths: ["data"] }),
    secured("seccomp default", { seccomp: { profileType: Profile.RuntimeDefault } }),
    secured("seccomp unconfined", { seccomp: { profileType: Profile.Unconfined } }),
    secured("seccomp localhost", {
      seccomp: { profileType: Profile.Localhost, localhostRef: "$SRC/seccomp.json" },
    }),
    secured("seccomp missing", {
      seccomp: { profileType: Profile.Localhost, localhostRef: "$SRC/none.json" },
    }),
    secured("seccomp unreadable", {
      seccomp: { profileType: Profile.Localhost, localhostRef: "$SRC/file" },
    }),
    secured("seccomp relative", {
      seccomp: { profileType: Profile.Localhost, localhostRef: "none.json" },
    }),
    secured("seccomp of the old kind", { seccompProfilePath: "runtime/default" }),
    secured("AppArmor default", { apparmor: { profileType: Profile.RuntimeDefault } }),
    secured("AppArmor unconfined", { apparmor: { profileType: Profile.Unconfined } }),
    secured("AppArmor localhost", {
      apparmor: { profileType: Profile.Localhost, localhostRef: "x" },
    }),
    secured("privileged in an ordinary pod", { privileged: true }),
    secured("own IPC", {
      namespaceOptions: { pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.CONTAINER },
    }),
    secured("the node's pids", { namespaceOptions: { pid: NamespaceMode.NODE } }),
    secured("target of nothing", {
      namespaceOptions: { pid: NamespaceMode.TARGET, targetId: "0".repeat(64) },
    }),
    secured("SELinux on a node without", { selinuxOptions: { level: "s0:c1,c2" } }),
    ...devices.map(([name, hostPath, containerPath, permissions]) =>
      secured(name, {}, { devices: [{ hostPath, containerPath, permissions }] }),
    ),
  ];
}

export function resourceCases(): ContainerCase[] {
  return [
    limited("cpu", { cpuShares: 512n, cpuQuota: 50_000n, cpuPeriod: 100_000n }),
    limited("cpu shares 2", { cpuShares: 2n }),
    limited("cpu shares 1", { cpuShares: 1n }),
    limited("cpu shares beyond", { cpuShares: 300_000n }),
    limited("cpu shares below zero", { cpuShares: -1n }),
    limited("cpu quota alone", { cpuQuota: 20_000n }),
    limited("cpu quota without limit", { cpuQuota: -1n, cpuPeriod: 50_000n }),
    limited("cpu quota below 1 ms", { cpuQuota: 500n, cpuPeriod: 10_000n }),
    limited("cpu period beyond", { cpuQuota: 10_000n, cpuPeriod: 2_000_000n }),
    limited("cpuset", { cpusetCpus: "0", cpusetMems: "0" }),
    limited("cpuset range", { cpusetCpus: "0-1" }),
    limited("cpuset beyond", { cpusetCpus: "500" }),
    limited("cpuset of words", { cpusetCpus: "all" }),
    limited("memory", { memoryLimitInBytes: 67_108_864n }),
    limited("memory not of pages", { memoryLimitInBytes: 67_108_865n }),
    limited("memory below Docker's floor", { memoryLimitInBytes: 4_194_304n }),
    limited("memory without limit", { memoryLimitInBytes: -1n }),
    limited("memory and swap", {
      memoryLimitInBytes: 67_108_864n,
      memorySwapLimitInBytes: 134_217_728n,
    }),
    limited("memory equal to swap", {
      memoryLimitInBytes: 67_108_864n,
      memorySwapLimitInBytes: 67_108_864n,
    }),
    limited("swap below memory", {
      memoryLimitInBytes: 67_108_864n,
      memorySwapLimitInBytes: 33_554_432n,
    }),
    limited("swap alone", { memorySwapLimitInBytes: 67_108_864n }),
    limited("swap without limit", { memoryLimitInBytes: 67_108_864n, memorySwapLimitInBytes: -1n }),
    limited("OOM score", { oomScoreAdj: 900n }),
    limited("OOM score 1000", { oomScoreAdj: 1000n }),
    limited("OOM score beyond", { oomScoreAdj: 1001n }),
    limited("OOM score below the node's", { oomScoreAdj: -997n }),
    limited("huge pages", { hugepageLimits: [{ pageSize: "2MB", limit: 0n }] }),
    stays(
      limited("huge pages that are limited", {
        hugepageLimits: [{ pageSize: "2MB", limit: 4_194_304n }],
      }),
    ),
    limited("huge pages of no size", { hugepageLimits: [{ pageSize: "3MB", limit: 0n }] }),
    limited("unified on cgroup v1", { unified: { "memory.high": "1000000" } }),
    limited("all at once", {
      cpuShares: 100n,
      cpuQuota: 10_000n,
      cpuPeriod: 100_000n,
      memoryLimitInBytes: 100_000_000n,
      oomScoreAdj: 999n,
      cpusetCpus: "1",
    }),
  ];
}
