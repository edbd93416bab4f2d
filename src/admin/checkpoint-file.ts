import { Protocol } from "../gen/runtime/v1/api_pb.js";
import type { PodSandboxConfig } from "../gen/runtime/v1/api_pb.js";
import { isObject } from "../convert/field-checks.ts";

/** One port mapping in cri-dockerd's checkpoint; absent members print as `<nil>` in its checksum. */
export interface CheckpointPortMapping {
  readonly protocol?: string;
  readonly container_port?: number;
  readonly host_port?: number;
  readonly host_ip?: string;
}

/**
 * What cri-dockerd keeps of a sandbox in `<root>/sandbox/<id>`. It is read when a node is taken
 * over, for host ports and host network, and written so that the node can be given back.
 */
export interface SandboxCheckpoint {
  readonly name: string;
  readonly namespace: string;
  readonly portMappings: readonly CheckpointPortMapping[];
  readonly hostNetwork: boolean;
}

const VERSION = "v1";
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** What cri-dockerd would have written for this request; every declared port, published or not. */
export function toCheckpoint(config: PodSandboxConfig, hostNetwork: boolean): SandboxCheckpoint {
  return {
    name: config.metadata?.name ?? "",
    namespace: config.metadata?.namespace ?? "",
    hostNetwork,
    portMappings: config.portMappings.map((mapping) => ({
      protocol: protocolName(mapping.protocol),
      container_port: mapping.containerPort,
      host_port: mapping.hostPort,
      host_ip: mapping.hostIp,
    })),
  };
}

function protocolName(protocol: Protocol): string {
  if (protocol === Protocol.UDP) return "udp";
  return protocol === Protocol.SCTP ? "sctp" : "tcp";
}

/** The file's text. Protocols are lower case ("tcp"). */
export function formatCheckpoint(checkpoint: SandboxCheckpoint): string {
  const portMappings = checkpoint.portMappings.map((mapping) => ({
    protocol: mapping.protocol,
    container_port: mapping.container_port,
    host_port: mapping.host_port,
    host_ip: mapping.host_ip === "" ? undefined : mapping.host_ip,
  }));
  return JSON.stringify({
    version: VERSION,
    name: checkpoint.name,
    namespace: checkpoint.namespace,
    data: {
      port_mappings: portMappings.length === 0 ? undefined : portMappings,
      host_network: checkpoint.hostNetwork ? true : undefined,
    },
    checksum: checkpointChecksum(checkpoint),
  });
}

/**
 * Reads a checkpoint; undefined for what is not one. The checksum is not insisted on: dockershim's
 * files carry another for the same data, and the data is checked by its form.
 */
export function parseCheckpoint(
  text: string,
): (SandboxCheckpoint & { readonly checksumMatches: boolean }) | undefined {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(file) || file["version"] !== VERSION) return undefined;
  const { name, namespace, data } = file;
  if (typeof name !== "string" || typeof namespace !== "string" || !isObject(data))
    return undefined;
  const mappings = data["port_mappings"] ?? [];
  if (!Array.isArray(mappings)) return undefined;
  const portMappings: CheckpointPortMapping[] = [];
  for (const mapping of mappings as unknown[]) {
    const parsed = parseMapping(mapping);
    if (parsed === undefined) return undefined;
    portMappings.push(parsed);
  }
  const checkpoint = { name, namespace, portMappings, hostNetwork: data["host_network"] === true };
  return { ...checkpoint, checksumMatches: file["checksum"] === checkpointChecksum(checkpoint) };
}

/** FNV-1a (32 bit) over cri-dockerd's printed form of the data, which names its own Go types. */
export function checkpointChecksum(
  data: Pick<SandboxCheckpoint, "portMappings" | "hostNetwork">,
): number {
  const mappings = data.portMappings.map(
    (mapping) =>
      `<*>{Protocol:${member("config.Protocol", mapping.protocol)} ` +
      `ContainerPort:${member("int32", mapping.container_port)} ` +
      `HostPort:${member("int32", mapping.host_port)} ` +
      `HostIP:(string)${mapping.host_ip ?? ""}}`,
  );
  const list = mappings.length === 0 ? "<nil>" : `[${mappings.join(" ")}]`;
  return fnv1a(
    `(core.CheckpointData){PortMappings:([]*config.PortMapping)${list} HostNetwork:(bool)${data.hostNetwork}}`,
  );
}

function member(type: string, value: string | number | undefined): string {
  return `(*${type})${value ?? "<nil>"}`;
}

function fnv1a(text: string): number {
  let hash = FNV_OFFSET;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, FNV_PRIME) >>> 0;
  return hash >>> 0;
}

function parseMapping(value: unknown): CheckpointPortMapping | undefined {
  if (!isObject(value)) return undefined;
  const { protocol, container_port, host_port, host_ip } = value;
  if (protocol !== undefined && typeof protocol !== "string") return undefined;
  if (!isPort(container_port) || !isPort(host_port)) return undefined;
  if (host_ip !== undefined && typeof host_ip !== "string") return undefined;
  return {
    ...(protocol === undefined ? {} : { protocol }),
    ...(container_port === undefined ? {} : { container_port }),
    ...(host_port === undefined ? {} : { host_port }),
    ...(host_ip === undefined ? {} : { host_ip }),
  };
}

function isPort(value: unknown): value is number | undefined {
  return (
    value === undefined ||
    (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 65535)
  );
}
