import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { PortMappingSchema, Protocol } from "../../../src/gen/runtime/v1/api_pb.js";
import { toBoundPorts, toPortMappings } from "../../../src/pods/port-mappings.ts";
import { refuses, unknownEnum } from "../convert/support.ts";

const port = (hostPort: number, containerPort: number, hostIp = "", protocol = Protocol.TCP) =>
  create(PortMappingSchema, { hostPort, containerPort, hostIp, protocol });

describe("port mappings of a pod", () => {
  it("publishes what can be published, and says what it leaves out", () => {
    const skipped: string[] = [];
    const published = toPortMappings(
      [
        port(0, 80),
        port(0, 0),
        port(-1, 80),
        port(-1, 0, "x"),
        port(8080, 80, "localhost"),
        port(8081, 80, "010.0.0.1"),
        port(8082, 80, "::", Protocol.SCTP),
        port(65535, 65535),
      ],
      (why) => skipped.push(why),
    );
    expect(published).to.deep.equal([
      { hostPort: 8082, containerPort: 80, protocol: "sctp", hostIp: "::" },
      { hostPort: 65535, containerPort: 65535, protocol: "tcp", hostIp: "" },
    ]);
    expect(skipped).to.deep.equal([
      "host port -1 is negative",
      "host port -1 is negative",
      'the host IP "localhost" of host port 8080 is not an IP address',
      'the host IP "010.0.0.1" of host port 8081 is not an IP address',
    ]);
  });

  for (const [what, mapping, message] of [
    ["a host port above 65535", port(65536, 80), /65536/],
    ["a container port of 0", port(8080, 0), /port 0/],
    ["a negative container port", port(8080, -1), /port -1/],
    ["a container port above 65535", port(8080, 70_000), /70000/],
    ["an unknown protocol", port(8080, 80, "", unknownEnum(9)), /protocol 9/],
  ] as const) {
    it(`refuses ${what}, which no plugin can publish`, () => {
      refuses(() => toPortMappings([mapping]), message);
    });
  }

  it("passes over bindings of other runtimes that were never published", () => {
    expect(
      toBoundPorts({
        "80/tcp": [
          { HostPort: "8080" },
          { HostPort: "8081", HostIp: "localhost" },
          { HostPort: "" },
          { HostPort: "-1" },
          { HostPort: "70000" },
          { HostPort: "8000-8001" },
        ],
        "0/udp": [{ HostPort: "8082" }],
        "53/udp": [{ HostPort: "53", HostIp: "::" }],
        "9/tcp": null,
      }),
    ).to.deep.equal([
      { hostPort: 8080, containerPort: 80, protocol: "tcp", hostIp: "" },
      { hostPort: 53, containerPort: 53, protocol: "udp", hostIp: "::" },
    ]);
    expect(toBoundPorts(undefined)).to.deep.equal([]);
  });
});
