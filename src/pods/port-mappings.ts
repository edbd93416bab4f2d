import { isIP } from "node:net";
import { quoted } from "../convert/field-checks.ts";
import type { HostConfig } from "../engine/types.ts";
import { invalidArgument } from "../errors.ts";
import { Protocol } from "../gen/runtime/v1/api_pb.js";
import type { PortMapping } from "../gen/runtime/v1/api_pb.js";

/** One entry of the CNI capability `portMappings`. */
export interface HostPort {
  hostPort: number;
  containerPort: number;
  protocol: "tcp" | "udp" | "sctp";
  hostIp: string;
}

const protocols: Readonly<Record<Protocol, HostPort["protocol"]>> = {
  [Protocol.TCP]: "tcp",
  [Protocol.UDP]: "udp",
  [Protocol.SCTP]: "sctp",
};

/**
 * The mappings to publish. Left out, as on other runtimes: those without a host port, as which the
 * kubelet sends each declared port, and, with a word to `skipped`, those whose host port is negative or
 * whose host IP is none, which Kubernetes does not check.
 *
 * @throws InvalidArgument for what no CNI plugin can publish
 */
export function toPortMappings(
  mappings: readonly PortMapping[],
  skipped?: (why: string) => void,
): HostPort[] {
  return mappings.flatMap(({ hostPort, containerPort, hostIp, protocol: number }) => {
    if (hostPort <= 0) {
      if (hostPort < 0) skipped?.(`host port ${hostPort} is negative`);
      return [];
    }
    if (hostIp !== "" && isIP(hostIp) === 0) {
      skipped?.(`the host IP ${quoted(hostIp)} of host port ${hostPort} is not an IP address`);
      return [];
    }
    for (const port of [hostPort, containerPort]) {
      if (port < 1 || port > 65535) {
        throw invalidArgument(`port_mappings: port ${port} is not between 1 and 65535`);
      }
    }
    // An unknown number of the enum reaches us as it is.
    const protocol = protocols[number] as HostPort["protocol"] | undefined;
    if (protocol === undefined) {
      throw invalidArgument(`port_mappings: unknown protocol ${String(number)}`);
    }
    return [{ hostPort, containerPort, protocol, hostIp }];
  });
}

/** The ports of a cri-dockerd pod as it told them to Docker, which has no use for them. */
export function toBoundPorts(bindings: HostConfig["PortBindings"]): HostPort[] {
  const ports = Object.entries(bindings ?? {}).flatMap(([port, bound]): HostPort[] => {
    const [containerPort, protocol] = port.split("/");
    return (bound ?? []).map((binding) => ({
      hostPort: Number(binding.HostPort ?? 0),
      containerPort: Number(containerPort),
      protocol: protocol === "udp" || protocol === "sctp" ? protocol : "tcp",
      hostIp: binding.HostIp ?? "",
    }));
  });
  // Nothing was published for these, and they must not keep the pod from being removed.
  return ports.filter(
    ({ hostPort, containerPort, hostIp }) =>
      isPort(hostPort) && isPort(containerPort) && (hostIp === "" || isIP(hostIp) !== 0),
  );
}

const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65535;
