import type { NodeFacts } from "../../../../src/admin/doctor/facts.ts";
import { soundEngine, soundNode } from "../../../support/doctor-node.ts";
import { kubelet, kubeletMistakes } from "./kubelet-mistakes.ts";
import type { Mistake } from "./kubelet-mistakes.ts";
import { nodeMistakes } from "./node-mistakes.ts";

export const sound = soundNode();
export const engineWith = (...args: Parameters<typeof soundEngine>): Partial<NodeFacts> => ({
  engine: soundEngine(...args),
});
export const disk = (changes: object): Partial<NodeFacts> => ({
  disks: [{ ...sound.disks[0]!, ...changes }],
});
export const daemon = (
  settings: Record<string, unknown>,
  hosts: string[] = [],
): Partial<NodeFacts> => ({
  daemon: { ...sound.daemon, settings, hosts },
});
export const image = (Architecture: string): Partial<NodeFacts> => ({
  engine: { ...soundEngine(), pauseImage: { Architecture } as never },
});

export const mistakes: Mistake[] = [
  ["another user than root", { root: false }, "rights", "warning", /sudo/],
  ["an engine too old", { engine: { ...soundEngine(), api: [1, 40] } }, "engine", "error", /1\.40/],
  ["the driver vfs", engineWith({ Driver: "vfs" }), "storage", "warning", /vfs/],
  [
    "no d_type",
    engineWith({ DriverStatus: [["Supports d_type", "false"]] }),
    "storage",
    "error",
    /d_type/,
  ],
  ["live-restore off", engineWith({ LiveRestoreEnabled: false }), "live-restore", "warning"],
  ["log-driver none", engineWith({ LoggingDriver: "none" }), "log-driver", "warning", /none/],
  [
    "logs that may be dropped",
    daemon({ "log-opts": { mode: "non-blocking" } }),
    "log-driver",
    "warning",
    /non-blocking/,
  ],
  ["an image of another machine", image("arm64"), "pause-image", "error", /exec format/],
  [
    "a pause image that nobody can load",
    { config: { ...sound.config, podInfraContainerImage: "r/pause@sha256:0" } },
    "pause-image",
    "warning",
    /without a tag/,
  ],
  [
    "images that no registry has",
    { engine: { ...soundEngine(), localImages: ["own/a:1", "own/b:1"] } },
    "local-images",
    "warning",
    /own\/a:1, own\/b:1/,
    /could not be pulled again/,
    /pinLocalImages: true/,
  ],
  ["cgroup v1", engineWith({ CgroupVersion: "1" }), "cgroup-version", "warning", /1\.35/],
  [
    "cgroup v1 for a kubelet that refuses it",
    { ...engineWith({ CgroupVersion: "1" }), ...kubelet({ minor: 35 }) },
    "cgroup-version",
    "error",
    /this kubelet \(1\.35\)/,
  ],
  [
    "cgroup v1 for a kubelet that does not mind yet",
    { ...engineWith({ CgroupVersion: "1" }), ...kubelet({ minor: 34 }) },
    "cgroup-version",
    "warning",
  ],
  [
    "a cgroup driver that the kubelet passes over",
    kubelet({ cgroupDriver: { value: "cgroupfs", from: "/k/config.yaml" }, minor: 31 }),
    "cgroup-driver",
    "warning",
    /in \/k\/config\.yaml: cgroupDriver: systemd/,
  ],
  [
    "the other cgroup driver under an older kubelet",
    kubelet({ cgroupDriver: { value: "cgroupfs", from: "/k/config.yaml" }, minor: 30 }),
    "cgroup-driver",
    "error",
  ],
  [
    "the other cgroup driver, under a kubelet whose version nobody knows",
    kubelet({ cgroupDriver: { value: "cgroupfs", from: "/k/config.yaml" } }),
    "cgroup-driver",
    "warning",
    /version of this one is not known/,
    /Docker uses systemd, the kubelet cgroupfs \(\/k\/config\.yaml\)/,
    /native\.cgroupdriver=cgroupfs/,
  ],
  [
    "cgroupfs under systemd",
    {
      ...engineWith({ CgroupDriver: "cgroupfs" }),
      ...kubelet({ cgroupDriver: { value: "cgroupfs", from: "f" } }),
    },
    "cgroup-driver",
    "warning",
    /two programs/,
  ],
  ["an old runc", { runc: { version: "1.1.5", changelog: "" } }, "runc", "error", /CVE-2024-21626/],
  [
    "a distribution's old runc",
    { runc: { version: "1.1.5+ds1", changelog: "fixes CVE-2024-21626" } },
    "runc",
    "warning",
    /CVE-2025-31133/,
    /tracker/,
  ],
  [
    "a runc with a small hole",
    { runc: { version: "1.3.5", changelog: "" } },
    "runc",
    "warning",
    /CVE-2026-41579/,
  ],
  [
    "no CNI folder",
    { cni: { folderTrouble: "none", files: [], plugins: [] } },
    "cni-config",
    "error",
  ],
  ["an empty CNI folder", { cni: { files: [], plugins: [] } }, "cni-config", "error", /no CNI/],
  [
    "only a broken file",
    { cni: { files: [{ name: "a.conf", trouble: "bad JSON" }], plugins: [] } },
    "cni-config",
    "error",
    /a\.conf: bad JSON/,
  ],
  [
    "a broken file before the good one",
    { cni: { ...sound.cni, files: [{ name: "a.conf", trouble: "x" }, ...sound.cni.files] } },
    "cni-config",
    "warning",
    /passed over/,
  ],
  [
    "a missing plugin",
    {
      cni: {
        ...sound.cni,
        plugins: [{ type: "portmap", failure: "missing", message: "portmap, which is not in /b" }],
        problem: "x",
      },
    },
    "cni-plugins",
    "error",
    /portmap/,
    /containernetworking-plugins/,
  ],
  [
    "a missing plugin of an add-on",
    {
      cni: {
        ...sound.cni,
        plugins: [{ type: "flannel", failure: "missing", message: "flannel" }],
      },
    },
    "cni-plugins",
    "error",
    /installs flannel/,
    /another network/,
  ],
  [
    "plugins that know other versions",
    { cni: { ...sound.cni, problem: "plugin x knows CNI 0.2.0" } },
    "cni-plugins",
    "error",
    /knows CNI/,
  ],
  [
    "plugins that another account may change",
    { cni: { ...sound.cni, warnings: ["/b belongs to user 997"] } },
    "cni-plugins",
    "warning",
    /user 997/,
    /can become root/,
    /chown root:root \/b && chmod go-w \/b/,
  ],
  [
    "a plugin that does not answer VERSION",
    { cni: { ...sound.cni, notes: ["plugin x does not answer VERSION"] } },
    "cni-plugins",
    "warning",
    /x does not answer VERSION/,
  ],
  ["a node that forwards nothing", { ipForward: false }, "forward", "warning", /sysctl -w/],
  [
    "IPv6 dropped",
    { forward: { ipv4: "ACCEPT", ipv6: "DROP", message: "" } },
    "forward",
    "error",
    /IPv6/,
    /ip6tables -P FORWARD ACCEPT/,
    /ip-forward-no-drop/,
  ],
  [
    "IPv4 dropped by an engine without a setting for it",
    {
      engine: { ...soundEngine(), api: [1, 41] },
      forward: { ipv4: "DROP", ipv6: "unknown", message: "" },
    },
    "forward",
    "error",
    /ExecStartPost/,
  ],
  [
    "a socket for everybody",
    { dockerSocket: { ...sound.dockerSocket, mode: 0o666 } },
    "docker-socket",
    "error",
    /0666/,
    /chmod 0660/,
  ],
  ["an open port", daemon({}, ["tcp://0.0.0.0:2375"]), "docker-tcp", "error", /2375/],
  ["an open local port", daemon({}, ["tcp://127.0.0.1:2375"]), "docker-tcp", "warning"],
  [
    "our socket for everybody",
    { docklineSocket: { ...sound.docklineSocket, mode: 0o777 } },
    "dockline-socket",
    "error",
    /0777/,
  ],
  [
    "nobody behind the kubelet's socket",
    { docklineSocket: { ...sound.docklineSocket, answers: false } },
    "dockline-socket",
    "error",
    /the kubelet has no runtime/,
  ],
  [
    "a Dockline that hangs",
    { server: { conditions: [], trouble: "deadline exceeded" } },
    "dockline-status",
    "error",
    /deadline exceeded/,
  ],
  ...["RuntimeReady", "NetworkReady"].map((type): (typeof mistakes)[number] => [
    `a Dockline whose ${type} is false for a reason of its own`,
    { server: { conditions: [{ type, status: false, message: "odd" }] } },
    "dockline-status",
    "error",
    new RegExp(`${type} is false: odd`),
  ]),
  ["few bytes", disk({ freeBytesShare: 0.14 }), "disk", "warning", /14 % free/, /image prune/],
  ["no bytes", disk({ freeBytesShare: 0.001, freeBytes: 4096 }), "disk", "error", /4\.0 KiB/],
  ["few inodes", disk({ freeInodesShare: 0.03 }), "disk", "warning", /inodes/],
  ["no inodes", disk({ freeInodesShare: 0 }), "disk", "error", /0 % of its inodes/],
  ["a disk that may not be written", disk({ readOnly: true }), "disk", "error", /read-only/],
  ...kubeletMistakes,
  ...nodeMistakes,
  [
    "old checkpoints",
    {
      leftovers: {
        ...sound.leftovers,
        checkpoints: [
          { runtime: "dockershim", root: "/d", files: [{ path: "/d/sandbox/1", pod: "a/b" }] },
        ],
      },
    },
    "leftovers",
    "warning",
    /a\/b/,
    /rm \/d\/sandbox\/1/,
  ],
  [
    "a cri-dockerd that nobody asks",
    { leftovers: { ...sound.leftovers, criDockerd: [7] } },
    "cri-dockerd",
    "warning",
    /pid 7/,
    /disable --now/,
  ],
  [
    "a cri-dockerd for the next boot",
    { leftovers: { ...sound.leftovers, units: ["cri-docker.service"] } },
    "cri-dockerd",
    "warning",
    /at boot/,
  ],
  [
    "a dockline-oci that is gone",
    { editing: [{ ...sound.editing[0]!, trouble: "ENOENT" }] },
    "dockline-oci",
    "error",
    /ENOENT/,
  ],
  [
    "a dockline-oci that reads elsewhere",
    { editing: [{ ...sound.editing[0]!, edits: "/elsewhere" }] },
    "dockline-oci",
    "error",
    /--run-dir \/run\/dockline/,
  ],
  [
    "a daemon.json that is none",
    { daemon: { ...sound.daemon, trouble: "Unexpected token" } },
    "daemon-json",
    "error",
    /Unexpected token/,
  ],
  [
    "userns-remap on the command line",
    engineWith({ SecurityOptions: ["name=userns"] }),
    "daemon-json",
    "warning",
    /command line/,
  ],
  ...(
    [
      ["userns-remap", "default"],
      ["default-ulimits", { nofile: {} }],
      ["init", true],
      ["no-new-privileges", true],
      ["seccomp-profile", "/p.json"],
      ["authorization-plugins", ["x"]],
      ["default-runtime", "crun"],
    ] as const
  ).map(([key, value]): (typeof mistakes)[number] => [
    `${key} in daemon.json`,
    daemon({ [key]: value }),
    "daemon-json",
    "warning",
    new RegExp(`take "${key}" out`),
  ]),
];
