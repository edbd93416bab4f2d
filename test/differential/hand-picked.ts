import { readFileSync } from "node:fs";
import { MountPropagation, NamespaceMode, Signal } from "../../src/gen/runtime/v1/api_pb.js";
import type { SandboxInit } from "../support/pods.ts";
import { resourceCases, securityCases } from "./hand-picked-security.ts";
import { kubeletPaths } from "./kubelet-paths.ts";
import type { ContainerCase, PodPlan } from "./plan.ts";
import { richImage } from "./probe-image.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const env = (key: string, value: string) => ({ key, value: bytes(value) });
const { POD, NODE, CONTAINER } = NamespaceMode;
const { PROPAGATION_BIDIRECTIONAL, PROPAGATION_HOST_TO_CONTAINER } = MountPropagation;

export const ordinary = { namespaceOptions: { pid: CONTAINER }, ...kubeletPaths };
export const ordinaryPod: SandboxInit = {
  dnsConfig: {
    servers: ["192.0.2.53"],
    searches: ["a.example", "b.example"],
    options: ["ndots:5"],
  },
  linux: { securityContext: { namespaceOptions: { pid: CONTAINER } } },
};
export const hostPod: SandboxInit = {
  hostname: "",
  dnsConfig: { servers: ["192.0.2.53"] },
  linux: { securityContext: { namespaceOptions: { network: NODE, pid: CONTAINER } } },
};
export const inHostPod = { namespaceOptions: { network: NODE, pid: CONTAINER }, ...kubeletPaths };

const linux = { resources: {}, securityContext: ordinary };
const one = (name: string, container: ContainerCase["container"]): ContainerCase => ({
  name,
  container: { linux, ...container },
});

const processCases: ContainerCase[] = [
  one("ordinary", {}),
  one("without a linux part", { linux: undefined }),
  one("command alone", { image: { image: richImage }, command: ["/bin/probe", "x"] }),
  one("args alone", { image: { image: richImage }, args: ["y", "", "z z"] }),
  one("command and args", {
    image: { image: richImage },
    command: ["/bin/probe"],
    args: ["$(X)", "ü"],
  }),
  one("all from the image", { image: { image: richImage } }),
  one("program found on the path", { command: ["probe"] }),
  one("program that is not there", { command: ["/bin/none"] }),
  one("program that is not executable", { command: ["/bin/not-executable"] }),
  one("program that is a folder", { command: ["/etc"] }),
  one("exit code", { envs: [env("PROBE_EXIT", "42")] }),
  one("working directory", { workingDir: "/data" }),
  one("working directory that is made", { workingDir: "/made/here" }),
  one("working directory through a link", { workingDir: "/opt/link" }),
  one("working directory that is a file", { workingDir: "/etc/passwd" }),
  one("working directory that is relative", { workingDir: "data" }),
  one("working directory not clean", { workingDir: "/data/../data//" }),
  one("environment", {
    image: { image: richImage },
    envs: [env("A", "first"), env("BOTH", "container"), env("A", "second"), env("EMPTY", "")],
  }),
  one("environment with odd names", {
    envs: [
      env("with.dot-dash", "1"),
      env("PATH", "/nowhere:/bin"),
      env("HOME", "/x"),
      env("ü", "ü\n\t"),
    ],
  }),
  one("environment name with =", { envs: [env("A=B", "1")] }),
  one("environment without a name", { envs: [env("", "1")] }),
  one("environment that is not UTF-8", {
    envs: [{ key: "RAW", value: Uint8Array.of(0x63, 0xe9, 0xff) }],
  }),
  one("environment with HOSTNAME", { envs: [env("HOSTNAME", "mine"), env("TERM", "dumb")] }),
  one("terminal", { tty: true }),
  one("terminal with input", { tty: true, stdin: true }),
  one("input", { stdin: true }),
  one("input once", { stdin: true, stdinOnce: true }),
  one("no log", { logPath: "" }),
  one("log in a folder", { logPath: "a/b/c.log" }),
  one("stop signal of the image", { image: { image: richImage } }),
  one("stop signal", { image: { image: richImage }, stopSignal: Signal.SIGRTMINPLUS3 }),
  one("labels and annotations", {
    labels: { "a.b/c": "d", __proto__x: "1", empty: "" },
    annotations: { "x/y": "long ".repeat(500), "io.kubernetes.cri.container-type": "sandbox" },
  }),
  one("image by id of nothing", { image: { image: `sha256:${"0".repeat(64)}` } }),
  one("image that is not there", { image: { image: "dockline.test/none:1" } }),
  one("image with all that is said of it", {
    metadata: { attempt: 3 },
    image: {
      image: richImage,
      annotations: { a: "b" },
      runtimeHandler: "runc",
      imageRef: richImage,
    },
  }),
  one("image as the user called it", {
    image: { image: richImage, userSpecifiedImage: "probe-rich" },
  }),
];

const source = (name: string, at = "/m", more = {}) => ({
  hostPath: `$SRC/${name}`,
  containerPath: at,
  ...more,
});
const mountCases: ContainerCase[] = [
  one("folder", { mounts: [source("dir")] }),
  one("folder read-only", { mounts: [source("dir", "/m", { readonly: true })] }),
  one("file", { mounts: [source("file", "/data/file")] }),
  one("file over a file", { mounts: [source("file", "/data/from-image", { readonly: true })] }),
  one("folder over a file", { mounts: [source("dir", "/data/from-image")] }),
  one("file over a folder", { mounts: [source("file", "/data")] }),
  one("missing source", { mounts: [source("not/there/yet")] }),
  one("missing source read-only", { mounts: [source("not-there", "/m", { readonly: true })] }),
  one("dangling link", { mounts: [source("dangling")] }),
  one("below a dangling link", { mounts: [source("dangling/x")] }),
  one("loop of links", { mounts: [source("loop")] }),
  one("below a file", { mounts: [source("file/x")] }),
  one("link", { mounts: [source("link"), source("absolute-link", "/f")] }),
  one("link to a link, target a link", { mounts: [source("link-to-link", "/opt/link")] }),
  one("target above the root", { mounts: [source("dir", "/../../m")] }),
  one("target not clean", { mounts: [source("dir", "/m/./x//../y/")] }),
  one("target relative", { mounts: [source("dir", "m")] }),
  one("target root", { mounts: [source("dir", "/")] }),
  one("source not clean", { mounts: [source("dir/../other//.")] }),
  one("source relative", { mounts: [{ hostPath: "dir", containerPath: "/m" }] }),
  one("source empty", { mounts: [{ hostPath: "", containerPath: "/m" }] }),
  one("target empty", { mounts: [source("dir", "")] }),
  one("same target twice", { mounts: [source("dir"), source("other")] }),
  one("same target twice, a file and then a folder", {
    mounts: [source("file"), source("dir")],
  }),
  one("same target after cleaning", { mounts: [source("dir", "/m"), source("other", "/m/")] }),
  one("nested, inner first", { mounts: [source("other", "/m/inner"), source("dir", "/m")] }),
  one("nested, outer first", { mounts: [source("dir", "/m"), source("other", "/m/inner")] }),
  one("odd characters", {
    mounts: [source("with blank, comma:colon", "/with blank, comma:colon")],
  }),
  one("a tree with a mount below", { mounts: [source("tree", "/m", { readonly: true })] }),
  one("propagation to the container", {
    mounts: [source("tree", "/m", { propagation: PROPAGATION_HOST_TO_CONTAINER })],
  }),
  one("propagation both ways", {
    mounts: [source("tree", "/m", { propagation: PROPAGATION_BIDIRECTIONAL })],
  }),
  one("propagation unknown", { mounts: [source("dir", "/m", { propagation: 7 as never })] }),
  one("over what the runtime mounts", {
    mounts: [
      source("hosts", "/etc/hosts"),
      source("file", "/etc/resolv.conf"),
      source("file", "/etc/hostname", { readonly: true }),
      source("dir", "/dev/shm"),
    ],
  }),
  one("propagation over what the runtime mounts", {
    mounts: [source("hosts", "/etc/hosts", { propagation: PROPAGATION_HOST_TO_CONTAINER })],
  }),
  one("a folder over the hostname", { mounts: [source("dir", "/etc/hostname")] }),
  one("hosts twice", { mounts: [source("hosts", "/etc/hosts"), source("file", "/etc/hosts/")] }),
  one("below dev", {
    mounts: [source("termination", "/dev/termination-log"), source("dir", "/dev/x")],
  }),
  one("over proc and sys", {
    mounts: [source("dir", "/proc/bus"), source("dir", "/sys/firmware")],
  }),
  one("over proc", { mounts: [source("dir", "/proc")] }),
  one("over an image's volume", {
    image: { image: richImage },
    mounts: [source("other", "/data")],
  }),
  one("below an image's volume", {
    image: { image: richImage },
    mounts: [source("other", "/data/x")],
  }),
  one("the node's root", { mounts: [{ hostPath: "/", containerPath: "/host", readonly: true }] }),
  one("links of proc", {
    mounts: [
      { hostPath: "/proc/1/ns/net", containerPath: "/hostns", readonly: true },
      { hostPath: "/proc/mounts", containerPath: "/hostmounts" },
    ],
  }),
  one("a device as a mount", { mounts: [{ hostPath: "/dev/zero", containerPath: "/dev/nought" }] }),
  one("relabelled on a node without SELinux", {
    mounts: [source("dir", "/m", { selinuxRelabel: true })],
  }),
  one("recursively read-only", {
    mounts: [source("tree", "/m", { readonly: true, recursiveReadOnly: true })],
  }),
  one("recursively read-only but writable", {
    mounts: [source("tree", "/m", { recursiveReadOnly: true })],
  }),
];

const podCases: PodPlan[] = [
  { name: "empty dns", sandbox: { ...ordinaryPod, dnsConfig: {} }, containers: [one("dns", {})] },
  {
    name: "no dns, no linux part",
    sandbox: { dnsConfig: undefined, linux: undefined, hostname: "other-name" },
    containers: [one("bare", { linux: undefined })],
  },
  {
    name: "dns options alone",
    sandbox: { ...ordinaryPod, dnsConfig: { options: ["ndots:2", "edns0"], searches: ["."] } },
    containers: [one("dns", {})],
  },
  {
    name: "no hostname",
    sandbox: { ...ordinaryPod, hostname: "" },
    containers: [one("name", {})],
  },
  {
    name: "sysctls",
    sandbox: {
      ...ordinaryPod,
      linux: {
        ...ordinaryPod.linux,
        sysctls: {
          "kernel.shm_rmid_forced": "1",
          "net.ipv4.ip_local_port_range": "1024\t65535",
          "net.core.somaxconn": "1000\n",
          "net/ipv4/conf/eth0/arp_ignore": "1",
          "kernel.sem": "250 32000 100 128",
        },
      },
    },
    containers: [one("read", {})],
  },
  {
    name: "sysctl of the node",
    sandbox: {
      ...ordinaryPod,
      linux: { ...ordinaryPod.linux, sysctls: { "kernel.pid_max": "40000" } },
    },
    containers: [],
  },
  {
    name: "shared pids",
    sandbox: { ...ordinaryPod, linux: { securityContext: { namespaceOptions: { pid: POD } } } },
    containers: [
      one("shared", {
        linux: {
          resources: {},
          securityContext: { ...kubeletPaths, namespaceOptions: { pid: POD } },
        },
      }),
    ],
  },
  {
    name: "the node's namespaces",
    sandbox: {
      ...hostPod,
      linux: { securityContext: { namespaceOptions: { network: NODE, pid: NODE, ipc: NODE } } },
    },
    containers: [
      one("all", {
        linux: {
          resources: {},
          securityContext: {
            ...kubeletPaths,
            namespaceOptions: { network: NODE, pid: NODE, ipc: NODE },
          },
        },
      }),
    ],
  },
  {
    name: "host network",
    sandbox: hostPod,
    containers: [
      one("ordinary", { linux: { resources: {}, securityContext: inHostPod } }),
      one("without asking", { linux: { resources: {}, securityContext: ordinary } }),
    ],
  },
  {
    name: "host network with a hostname",
    sandbox: { ...hostPod, hostname: "other" },
    containers: [one("ordinary", { linux: { resources: {}, securityContext: inHostPod } })],
  },
  {
    name: "group without user",
    sandbox: {
      ...ordinaryPod,
      linux: {
        securityContext: { namespaceOptions: { pid: CONTAINER }, runAsGroup: { value: 107n } },
      },
    },
    containers: [],
  },
  { name: "unknown handler", sandbox: ordinaryPod, runtimeHandler: "none", containers: [] },
  {
    name: "cgroup parent",
    sandbox: {
      ...ordinaryPod,
      linux: { ...ordinaryPod.linux, cgroupParent: "/dockline-differential/pod" },
    },
    containers: [one("in it", {})],
  },
];

const ofImage = { containerPath: "/m", image: { image: richImage } };
/** A pod for each: containerd makes one mount for all containers of a pod, and not when two are created at once. */
const imageCases: PodPlan[] = [
  one("an image", { mounts: [{ ...ofImage, readonly: true }] }),
  one("an image not said to be read-only", { mounts: [ofImage] }),
  one("a part of an image", { mounts: [{ ...ofImage, imageSubPath: "data", readonly: true }] }),
].map((of) => ({ name: of.name, sandbox: ordinaryPod, containers: [of] }));

/** What a node without all capabilities cannot give: Docker fails the start. */
function privilegedPlan(): PodPlan {
  const namespaceOptions = { network: NODE, pid: CONTAINER };
  return {
    name: "privileged",
    sandbox: { ...hostPod, linux: { securityContext: { privileged: true, namespaceOptions } } },
    containers: [
      one("privileged", {
        linux: { resources: {}, securityContext: { privileged: true, namespaceOptions } },
      }),
    ],
  };
}

/** The configurations picked by hand. */
export function handPicked(): PodPlan[] {
  return [
    { name: "process", sandbox: ordinaryPod, containers: processCases },
    { name: "mounts", sandbox: ordinaryPod, containers: mountCases },
    ...imageCases,
    ...podCases,
    { name: "security", sandbox: ordinaryPod, containers: securityCases() },
    { name: "resources", sandbox: ordinaryPod, containers: resourceCases() },
    {
      name: "in a privileged pod",
      sandbox: privilegedPlan().sandbox,
      containers: [one("not privileged", { linux: { resources: {}, securityContext: inHostPod } })],
    },
    ...(hasAllCapabilities() ? [privilegedPlan()] : []),
  ];
}

function hasAllCapabilities(): boolean {
  const bounding = /^CapBnd:\s*(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  const last = Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
  return BigInt(`0x${bounding}`) === (1n << BigInt(last + 1)) - 1n;
}
