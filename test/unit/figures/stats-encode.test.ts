import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import {
  ContainerAttributesSchema,
  ContainerStatsSchema,
  PodSandboxAttributesSchema,
  PodSandboxStatsSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { encodeContainerStats, encodePodSandboxStats } from "../../../src/figures/stats-encode.ts";
import type { CgroupFigures, InterfaceFigures } from "../../../src/stats/figures.ts";

const count = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const atNs = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const line = fc.record({
  // Half a million years.
  totalUs: fc.bigInt({ min: 0n, max: (2n ** 64n - 1n) / 1000n }),
  avg10: fc.double({ min: 0, max: 100, noNaN: true }),
  avg60: fc.constant(0),
  avg300: fc.constant(1.25),
});
const psi = optional(fc.record({ some: optional(line), full: optional(line) }));
/** The kernel's microseconds, as the CRI has them. */
const nanoseconds = (of: { totalUs: bigint } | undefined): bigint | undefined =>
  of === undefined ? undefined : of.totalUs * 1000n;
const figures: fc.Arbitrary<CgroupFigures> = fc.record({
  atNs,
  cpuUsageNs: count,
  cpuNanoCores: optional(count),
  cpuPsi: psi,
  memory: optional(
    fc.record({
      usageBytes: count,
      workingSetBytes: count,
      availableBytes: optional(count),
      rssBytes: count,
      pageFaults: count,
      majorPageFaults: count,
    }),
  ),
  memoryPsi: psi,
  swap: optional(fc.record({ usageBytes: count, availableBytes: optional(count) })),
  ioPsi: psi,
  pids: optional(count),
});
const attributes = create(ContainerAttributesSchema, {
  id: "abc",
  metadata: { name: "main", attempt: 2 },
  labels: { a: "b" },
});

describe("stats on the wire", () => {
  it("are ContainerStats, exact, and leave out what is not known", () => {
    fc.assert(
      fc.property(
        optional(figures),
        optional(fc.record({ atNs, usedBytes: count, inodesUsed: count })),
        (use, layer) => {
          const bytes = encodeContainerStats({
            attributes: toBinary(ContainerAttributesSchema, attributes),
            figures: use,
            layer,
            layerFolder: "/var/lib/docker",
          });
          const stats = fromBinary(ContainerStatsSchema, bytes);
          expect(stats.attributes).to.deep.equal(attributes);
          expect(stats.cpu?.timestamp).to.equal(use?.atNs);
          expect(stats.cpu?.usageCoreNanoSeconds?.value).to.equal(use?.cpuUsageNs);
          expect(stats.cpu?.usageNanoCores?.value).to.equal(use?.cpuNanoCores);
          expect(stats.cpu?.psi?.Some?.Total).to.equal(nanoseconds(use?.cpuPsi?.some));
          expect(stats.cpu?.psi?.Full?.Avg10).to.equal(use?.cpuPsi?.full?.avg10);
          expect(stats.cpu?.psi?.Full?.Avg300).to.equal(use?.cpuPsi?.full?.avg300);
          const { memory } = use ?? {};
          expect(stats.memory?.workingSetBytes?.value).to.equal(memory?.workingSetBytes);
          expect(stats.memory?.availableBytes?.value).to.equal(memory?.availableBytes);
          expect(stats.memory?.usageBytes?.value).to.equal(memory?.usageBytes);
          expect(stats.memory?.rssBytes?.value).to.equal(memory?.rssBytes);
          expect(stats.memory?.pageFaults?.value).to.equal(memory?.pageFaults);
          expect(stats.memory?.majorPageFaults?.value).to.equal(memory?.majorPageFaults);
          expect(stats.swap?.swapUsageBytes?.value).to.equal(use?.swap?.usageBytes);
          expect(stats.swap?.swapAvailableBytes?.value).to.equal(use?.swap?.availableBytes);
          expect(stats.io?.psi?.Some?.Total).to.equal(nanoseconds(use?.ioPsi?.some));
          expect(stats.writableLayer?.timestamp).to.equal(layer?.atNs);
          expect(stats.writableLayer?.usedBytes?.value).to.equal(layer?.usedBytes);
          expect(stats.writableLayer?.inodesUsed?.value).to.equal(layer?.inodesUsed);
          expect(stats.$unknown).to.equal(undefined);
        },
      ),
    );
  });

  it("are PodSandboxStats with the default interface first and the others behind it", () => {
    const networkInterface = (name: string, rxBytes: bigint): InterfaceFigures => ({
      name,
      rxBytes,
      rxErrors: 1n,
      rxPackets: 9n,
      rxDropped: 9n,
      txBytes: 2n ** 64n - 1n,
      txErrors: 0n,
      txPackets: 9n,
      txDropped: 9n,
    });
    const eth0 = networkInterface("eth0", 5n);
    const net1 = networkInterface("net1", 6n);
    const [use] = fc.sample(figures, 1);
    const container = encodeContainerStats({
      attributes: toBinary(ContainerAttributesSchema, attributes),
      figures: use,
      layer: undefined,
      layerFolder: "",
    });
    const podAttributes = create(PodSandboxAttributesSchema, { id: "pod" });
    const stats = fromBinary(
      PodSandboxStatsSchema,
      encodePodSandboxStats({
        attributes: toBinary(PodSandboxAttributesSchema, podAttributes),
        figures: { ...use!, pids: 7n },
        network: { atNs: 3n, interfaces: [net1, eth0], defaultInterface: eth0 },
        containers: [container],
      }),
    );
    expect(stats.attributes?.id).to.equal("pod");
    expect(stats.linux?.network?.timestamp).to.equal(3n);
    expect(stats.linux?.network?.defaultInterface?.name).to.equal("eth0");
    expect(stats.linux?.network?.defaultInterface?.txBytes?.value).to.equal(2n ** 64n - 1n);
    expect(stats.linux?.network?.interfaces.map(({ name }) => name)).to.deep.equal(["net1"]);
    expect(stats.linux?.process?.processCount?.value).to.equal(7n);
    expect(stats.linux?.containers.map((each) => each.attributes?.id)).to.deep.equal(["abc"]);
    expect(stats.linux?.cpu?.usageCoreNanoSeconds?.value).to.equal(use?.cpuUsageNs);
  });
});
