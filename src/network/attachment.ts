import { isIP } from "node:net";
import { invalidArgument } from "../errors.ts";
import { bandwidthCapability } from "./bandwidth.ts";
import type { Bandwidth } from "./bandwidth.ts";
import type { CniArgs } from "./cni-args.ts";
import { declaredCapabilities, isJsonObject } from "./conflist.ts";
import type { JsonObject, PluginConfig } from "./conflist.ts";

/**
 * One pod on one network: plain JSON for the sandbox record, and all that DEL needs, so that neither
 * a changed configuration folder nor a restart stands between a pod and its clean-up.
 */
export interface NetworkAttachment {
  networkName: string;
  cniVersion: string;
  ifName: string;
  containerId: string;
  netns: string;
  /** The plugin objects as they were used at ADD. */
  plugins: PluginConfig[];
  disableCheck: boolean;
  args: CniArgs;
  capabilityArgs: JsonObject;
  /** The last plugin's result; missing until ADD has succeeded. */
  result?: JsonObject;
  /** ADD has ended with an error. With neither this nor a result nobody knows how it ended. */
  addFailed?: boolean;
  /** Nothing tells whether ADD has succeeded: another runtime's pod, or one whose record is lost. */
  addUnknown?: boolean;
  /** Every address of the pod, primary first; empty until ADD has succeeded. */
  ips: string[];
}

export interface PortMapping {
  /** 0 means that the port is not published. */
  hostPort: number;
  containerPort: number;
  protocol: "tcp" | "udp" | "sctp";
  /** Empty for every address of the host. */
  hostIp: string;
}

export interface PodDns {
  servers: string[];
  searches: string[];
  options: string[];
}

/** One pod that is to come onto the network. */
export interface SetUpRequest {
  containerId: string;
  /** Path of the pod's network namespace (Docker's SandboxKey). */
  netns: string;
  podName: string;
  podNamespace: string;
  podUid: string;
  portMappings: readonly PortMapping[];
  bandwidth?: Bandwidth;
  dns?: PodDns;
  /** Names for the `aliases` capability; default: the pod's name. */
  aliases?: readonly string[];
  /** The pod's cgroup as the kubelet names it. */
  cgroupPath?: string;
  annotations?: Readonly<Record<string, string>>;
  /** Ends the plugin that runs; the caller then undoes as after any failed ADD. */
  signal?: AbortSignal;
  /**
   * Whether `netns` leads to the pod's namespace still; asked before each plugin. Default: to that of any
   * pod. A path below /proc may lead elsewhere once its process is gone.
   */
  isOurs?: () => Promise<boolean>;
  /**
   * Awaited before the first plugin runs: when it resolves, what DEL will need must be durable. The
   * chain does not start when it rejects.
   */
  beforeAdd(attachment: NetworkAttachment): Promise<void>;
}

/** The capability under which containerd and CRI-O hand the pod's annotations on, as one object. */
export const annotationsCapability = "io.kubernetes.cri.pod-annotations";

/**
 * The capability arguments of a pod (CNI conventions). All are offered; a plugin gets those that it
 * declares. Throws CriError InvalidArgument for ports and addresses that are none.
 */
export function capabilityArgs(pod: {
  portMappings: readonly PortMapping[];
  podCidrs: readonly string[];
  bandwidth?: Bandwidth;
  dns?: PodDns;
  aliases?: readonly string[];
  /** The CRI's cgroup_parent as it was sent; nothing when that is empty. */
  cgroupPath?: string;
  annotations?: Readonly<Record<string, string>> | undefined;
}): JsonObject {
  return {
    portMappings: pod.portMappings.filter(({ hostPort }) => hostPort !== 0).map(toPortEntry),
    // One set for each address family, so that a dual-stack node's pods get an address of each.
    ...(pod.podCidrs.length === 0 ? {} : { ipRanges: pod.podCidrs.map((subnet) => [{ subnet }]) }),
    ...(pod.bandwidth === undefined ? {} : { bandwidth: bandwidthCapability(pod.bandwidth) }),
    ...(pod.dns === undefined ? {} : { dns: { ...pod.dns } }),
    ...(pod.aliases === undefined ? {} : { aliases: [...pod.aliases] }),
    ...(pod.cgroupPath === undefined || pod.cgroupPath === ""
      ? {}
      : { cgroupPath: pod.cgroupPath }),
    ...(pod.annotations === undefined ? {} : { [annotationsCapability]: { ...pod.annotations } }),
  };
}

function toPortEntry(mapping: PortMapping): JsonObject {
  for (const port of [mapping.hostPort, mapping.containerPort]) {
    if (!Number.isInteger(port) || port < 1 || port > 65535) {
      throw invalidArgument(`port mapping: ${port} is not a port`);
    }
  }
  if (mapping.hostIp !== "" && isIP(mapping.hostIp) === 0) {
    throw invalidArgument("port mapping: the host IP is not an IP address");
  }
  return {
    hostPort: mapping.hostPort,
    containerPort: mapping.containerPort,
    protocol: mapping.protocol,
    hostIP: mapping.hostIp,
  };
}

/** True when some plugin of the chain declares the capability. */
export function chainDeclares(plugins: readonly PluginConfig[], capability: string): boolean {
  return plugins.some((plugin) => declaredCapabilities(plugin).includes(capability));
}

/**
 * True when the plugin takes its addresses from the node's pod ranges and has none of its own: then no
 * pod can be attached before the ranges are known.
 */
export function needsPodRanges(plugin: PluginConfig): boolean {
  if (!declaredCapabilities(plugin).includes("ipRanges")) return false;
  const ipam = plugin["ipam"];
  if (!isJsonObject(ipam)) return true;
  const { type, subnet, ranges } = ipam;
  // Other address managers have sources of their own.
  if (type !== undefined && type !== "host-local") return false;
  return subnet === undefined && !(Array.isArray(ranges) && ranges.length > 0);
}

/** Splits and checks a PodCIDR: one range, or an IPv4 and an IPv6 one with a comma between. */
export function parsePodCidr(cidr: string): string[] {
  const cidrs = cidr
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  for (const part of cidrs) {
    const [address = "", prefix = "", ...rest] = part.split("/");
    const bits = isIP(address) === 4 ? 32 : 128;
    const valid = isIP(address) !== 0 && !address.includes("%") && /^\d{1,3}$/.test(prefix);
    if (!valid || Number(prefix) > bits || rest.length > 0) {
      throw invalidArgument("pod CIDR: not a range such as 10.244.1.0/24 or fd00:1::/64");
    }
  }
  return cidrs;
}
