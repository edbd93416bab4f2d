import { expect } from "chai";
import fc from "fast-check";
import {
  checkpointChecksum,
  formatCheckpoint,
  parseCheckpoint,
} from "../../../src/admin/checkpoint-file.ts";

const tcp = { protocol: "tcp", container_port: 80, host_port: 8080 };

describe("convert/checkpoint-file", () => {
  for (const [portMappings, hostNetwork, checksum] of [
    [[], false, 2305795928],
    [[], true, 12315789],
    [[tcp], false, 3712672205],
    [
      [
        { ...tcp, host_ip: "10.0.0.1" },
        { protocol: "udp", container_port: 53, host_port: 0 },
      ],
      true,
      3919432334,
    ],
  ] as const) {
    it(`sums ${JSON.stringify(portMappings)} ${hostNetwork}`, () => {
      expect(checkpointChecksum({ portMappings, hostNetwork })).to.equal(checksum);
    });
  }

  it("writes cri-dockerd's form", () => {
    const base = { name: "web", namespace: "default" };
    expect(formatCheckpoint({ ...base, portMappings: [], hostNetwork: false })).to.equal(
      '{"version":"v1","name":"web","namespace":"default","data":{},"checksum":2305795928}',
    );
    expect(
      formatCheckpoint({ ...base, portMappings: [{ ...tcp, host_ip: "" }], hostNetwork: true }),
    ).to.match(
      /"data":\{"port_mappings":\[\{"protocol":"tcp","container_port":80,"host_port":8080\}\],"host_network":true\},"checksum":\d+\}$/,
    );
  });

  it("reads what it wrote", () => {
    const port = fc.integer({ min: 0, max: 65535 });
    const mapping = fc.record(
      {
        protocol: fc.constantFrom("tcp", "udp", "sctp"),
        container_port: port,
        host_port: port,
        host_ip: fc.constantFrom("10.0.0.1", "::1"),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        fc.array(mapping),
        fc.boolean(),
        (name, namespace, portMappings, hostNetwork) => {
          const checkpoint = { name, namespace, portMappings, hostNetwork };
          expect(parseCheckpoint(formatCheckpoint(checkpoint))).to.deep.equal({
            ...checkpoint,
            checksumMatches: true,
          });
        },
      ),
    );
  });

  const file = (change: object) =>
    JSON.stringify({ version: "v1", name: "a", namespace: "b", data: {}, checksum: 1, ...change });
  it("tells a wrong checksum without insisting on it", () => {
    expect(parseCheckpoint(file({ data: { port_mappings: [tcp] } }))).to.deep.equal({
      name: "a",
      namespace: "b",
      portMappings: [tcp],
      hostNetwork: false,
      checksumMatches: false,
    });
  });

  for (const text of [
    "",
    "{",
    "[]",
    "null",
    file({ version: "v2" }),
    file({ name: 1 }),
    file({ namespace: null }),
    file({ data: [] }),
    file({ data: { port_mappings: {} } }),
    file({ data: { port_mappings: ["x"] } }),
    file({ data: { port_mappings: [{ ...tcp, protocol: 6 }] } }),
    file({ data: { port_mappings: [{ ...tcp, host_port: 65536 }] } }),
    file({ data: { port_mappings: [{ ...tcp, container_port: -1 }] } }),
    file({ data: { port_mappings: [{ ...tcp, host_port: 0.5 }] } }),
    file({ data: { port_mappings: [{ ...tcp, host_ip: 5 }] } }),
  ]) {
    it(`does not read ${text.slice(0, 90)}`, () => {
      expect(parseCheckpoint(text)).to.equal(undefined);
    });
  }
});
