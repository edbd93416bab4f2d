import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { encodePodMetrics, MetricWriter } from "../../../src/figures/metric-writer.ts";
import { containerMetrics } from "../../../src/figures/metric-values.ts";
import { PodSandboxMetricsSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { deviceName } from "../../../src/stats/devices.ts";
import type { CgroupDetails } from "../../../src/stats/figures.ts";

describe("the series of disks", () => {
  it("have the name that a number has now, which may be another disk's by the next look", () => {
    const folder = mkdtempSync(join(tmpdir(), "dockline-devices-"));
    try {
      const link = join(folder, "259:3");
      expect(deviceName("259", "3", folder)).to.equal("");
      for (const disk of ["nvme1n1", "nvme2n1"]) {
        symlinkSync(`../../devices/pci/block/${disk}`, link);
        expect(deviceName("259", "3", folder)).to.equal(`/dev/${disk}`);
        rmSync(link);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("are one for all disks without a name, so that none is there twice", () => {
    const io = (minor: string, bytes: bigint) => ({
      ...{ major: "259", minor, readBytes: bytes, writeBytes: 2n * bytes, reads: 1n, writes: 2n },
    });
    const details: Partial<CgroupDetails> = { io: [io("1", 10n), io("2", 100n), io("3", 1000n)] };
    const subject = { id: "/x", name: "n", image: "i", container: "c", pod: "p", namespace: "s" };
    const out = new MetricWriter(subject);
    containerMetrics(out, details as CgroupDetails, {
      processes: { processes: 1, fileDescriptors: 1, sockets: 0, openFilesSoft: undefined },
      startedAtNs: 0n,
      deviceName: (_major, minor) => (minor === "1" ? "/dev/sda" : ""),
    });
    const bytes = encodePodMetrics("pod", [out.finish()], []);
    const { metrics } = fromBinary(PodSandboxMetricsSchema, bytes);
    const keys = metrics.map(({ name, labelValues }) => [name, ...labelValues].join(" "));
    expect(new Set(keys).size).to.equal(keys.length);
    const read = metrics.filter(({ name }) => name === "container_fs_reads_bytes_total");
    expect(read.map(({ labelValues, value }) => [labelValues.at(-1), value?.value])).to.deep.equal([
      ["/dev/sda", 10n],
      ["", 1100n],
    ]);
  });
});
