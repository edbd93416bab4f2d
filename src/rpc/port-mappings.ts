import { isIP } from "node:net";
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

/** The mappings to publish; the kubelet also sends each declared port with host_port 0. */
export function toPortMappings(mappings: readonly PortMapping[]): HostPort[] {
  return mappings
    .filter((mapping) => mapping.hostPort !== 0)
    .map((mapping) => {
      const { hostPort, containerPort, hostIp } = mapping;
      for (const port of [hostPort, containerPort]) {
        if (port < 1 || port > 65535) {
          throw invalidArgument(`port_mappings: port ${port} is not between 1 and 65535`);
        }
      }
      // An unknown number of the enum reaches us as it is.
      const protocol = protocols[mapping.protocol] as HostPort["protocol"] | undefined;
      if (protocol === undefined) {
        throw invalidArgument(`port_mappings: unknown protocol ${String(mapping.protocol)}`);
      }
      if (hostIp !== "" && isIP(hostIp) === 0) {
        throw invalidArgument("port_mappings: the host IP is not an IP address");
      }
      return { hostPort, containerPort, protocol, hostIp };
    });
}
