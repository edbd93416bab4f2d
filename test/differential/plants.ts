import type { ContainerCreate, HostConfig } from "../../src/engine/types.ts";
import type { ContainerInit } from "../support/pods.ts";
import { ordinary, ordinaryPod } from "./hand-picked.ts";
import type { Group } from "./observation.ts";
import type { PodPlan } from "./plan.ts";

/** A fault between Dockline and the engine: the engine gets something other than what Dockline sent. */
export interface Plant {
  readonly name: string;
  readonly group: Group;
  readonly plan: PodPlan;
  readonly rewrite: (body: object) => object;
}

type Create = ContainerCreate & { HostConfig: HostConfig };

let serial = 0;
const planOf = (container: ContainerInit): PodPlan => ({
  name: `plant ${(serial += 1)}`,
  sandbox: ordinaryPod,
  containers: [
    { name: "c", container: { linux: { resources: {}, securityContext: ordinary }, ...container } },
  ],
});

const plain = planOf({});

/** Of members of a pod. */
const inContainers = (
  group: Group,
  name: string,
  container: ContainerInit,
  change: (create: Create) => void,
): Plant => ({
  group,
  name,
  // Plants that need nothing of their own share what was seen without them.
  plan: Object.keys(container).length === 0 ? plain : planOf(container),
  rewrite: (body) => {
    const create = structuredClone(body) as Create;
    if (isMember(create)) change(create);
    return create;
  },
});

/** Of pause containers. */
const inPods = (group: Group, name: string, change: (create: Create) => void): Plant => ({
  group,
  name,
  plan: plain,
  rewrite: (body) => {
    const create = structuredClone(body) as Create;
    if (!isMember(create)) change(create);
    return create;
  },
});

const isMember = (create: Create): boolean =>
  (create.HostConfig.NetworkMode ?? "").startsWith("container:");

export const plants: readonly Plant[] = [
  inContainers("outcome", "another program", {}, (create) => (create.Entrypoint = ["/bin/none"])),
  inContainers("process", "a variable more", {}, (create) => {
    create.Env = [...(create.Env ?? []), "PLANTED=1"];
  }),
  inContainers(
    "process",
    "another working directory",
    {},
    (create) => (create.WorkingDir = "/data"),
  ),
  inContainers("users", "another user", {}, (create) => (create.User = "1000:1000")),
  inContainers("users", "a group more", {}, (create) => {
    create.HostConfig.GroupAdd = ["4711"];
  }),
  inContainers("rights", "a capability more", {}, (create) => {
    create.HostConfig.CapAdd = ["NET_ADMIN"];
  }),
  inContainers("rights", "no new privileges", {}, (create) => {
    create.HostConfig.SecurityOpt = [...(create.HostConfig.SecurityOpt ?? []), "no-new-privileges"];
  }),
  inContainers(
    "mounts",
    "writable in place of read-only",
    { mounts: [{ hostPath: "$SRC/dir", containerPath: "/m", readonly: true }] },
    (create) => {
      for (const mount of create.HostConfig.Mounts ?? []) {
        mount.ReadOnly = false;
        mount.BindOptions = { Propagation: "rprivate" };
      }
    },
  ),
  inContainers(
    "mounts",
    "another propagation",
    { mounts: [{ hostPath: "$SRC/tree", containerPath: "/m" }] },
    (create) => {
      for (const mount of create.HostConfig.Mounts ?? []) {
        mount.BindOptions = { Propagation: "rslave" };
      }
    },
  ),
  inContainers("mounts", "a path less masked", {}, (create) => {
    create.HostConfig.MaskedPaths = (create.HostConfig.MaskedPaths ?? []).slice(1, -1);
    create.HostConfig.ReadonlyPaths = [];
  }),
  inPods("names", "another hostname", (create) => (create.Hostname = "planted")),
  inContainers("limits", "another memory limit", {}, (create) => {
    create.HostConfig.Memory = 33_554_432;
    create.HostConfig.MemorySwap = 33_554_432;
  }),
  inContainers(
    "limits",
    "another OOM score",
    {},
    (create) => (create.HostConfig.OomScoreAdj = 700),
  ),
  inContainers("devices", "a device more", {}, (create) => {
    create.HostConfig.Devices = [
      { PathOnHost: "/dev/full", PathInContainer: "/dev/planted", CgroupPermissions: "rwm" },
    ];
  }),
  inPods("sysctls", "another value", (create) => {
    create.HostConfig.Sysctls = { "net.ipv4.ip_local_port_range": "5000 6000" };
  }),
  inContainers("namespaces", "process ids of the node", {}, (create) => {
    create.HostConfig.PidMode = "host";
  }),
  inContainers("status", "another stop signal", {}, (create) => (create.StopSignal = "SIGINT")),
];
