import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { inspectFacts } from "../../../src/convert/inspect-facts.ts";
import { fromHostConfig, mergeResources, planResources } from "../../../src/convert/resources.ts";
import {
  LinuxContainerResourcesSchema,
  type LinuxContainerResources,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { inspectOf } from "./out-support.ts";
import { modern, old } from "./support.ts";

type Init = Parameters<typeof create<typeof LinuxContainerResourcesSchema>>[1];
const resources = (fields: Init): LinuxContainerResources =>
  create(LinuxContainerResourcesSchema, fields);
const MiB = 1024n * 1024n;

describe("convert/resources: status and updates", () => {
  const limits = fc
    .record({
      cpuPeriod: fc.constantFrom(0n, 1000n, 100_000n, 1_000_000n),
      cpuQuota: fc.oneof(fc.constantFrom(-1n, 0n, 1n, 999n), fc.bigInt(1000n, 10_000_000n)),
      cpuShares: fc.bigInt(0n, 262_144n),
      memoryLimitInBytes: fc.oneof(fc.constant(0n), fc.bigInt(1n, 2n ** 62n)),
      oomScoreAdj: fc.bigInt(-1000n, 1000n),
      cpusetCpus: fc.constantFrom("", "0", "0-1"),
      cpusetMems: fc.constantFrom("", "0"),
      unified: fc.constantFrom<Record<string, string>>(
        {},
        { "memory.oom.group": "1", "memory.swap.max": "4096" },
      ),
      hugepageLimits: fc.array(fc.constant({ pageSize: "2MB", limit: 4n }), { maxLength: 1 }),
    })
    .map((fields) => resources(fields));
  const facts = fc.record({
    cgroupVersion: fc.constant<2>(2),
    oomScoreFloor: fc.constantFrom(-1000, 0),
  });

  it("gives back in the status what was asked, through Docker's JSON", () => {
    fc.assert(
      fc.property(limits, facts, (asked, engine) => {
        const plan = planResources(asked, engine);
        const hostConfig = JSON.parse(
          JSON.stringify({ ...plan.docker, OomScoreAdj: plan.oomScoreAdj ?? 0 }),
        ) as object;
        expect(fromHostConfig(hostConfig, asked, engine)).to.deep.equal(asked);
      }),
    );
  });

  it("shows what docker update changed", () => {
    const asked = resources({
      cpuShares: 512n,
      cpuQuota: 10_000n,
      cpuPeriod: 100_000n,
      memoryLimitInBytes: 64n * MiB,
      cpusetCpus: "0",
      oomScoreAdj: 5n,
      unified: { "memory.swap.max": "0", "memory.oom.group": "1" },
    });
    const shown = fromHostConfig(
      {
        CpuShares: 256,
        CpuQuota: 20_000,
        CpuPeriod: 50_000,
        Memory: 128 * 1024 * 1024,
        MemorySwap: 256 * 1024 * 1024,
        CpusetCpus: "1",
        CpusetMems: "0",
        OomScoreAdj: 7,
      },
      asked,
      modern,
    );
    expect(shown).to.deep.equal(
      resources({
        cpuShares: 256n,
        cpuQuota: 20_000n,
        cpuPeriod: 50_000n,
        memoryLimitInBytes: 128n * MiB,
        memorySwapLimitInBytes: 256n * MiB,
        cpusetCpus: "1",
        cpusetMems: "0",
        // Docker has no update of it: what differs is our own update of the processes.
        oomScoreAdj: 5n,
        unified: { "memory.oom.group": "1" },
      }),
    );
    // The request itself is not touched.
    expect(asked.unified).to.have.property("memory.swap.max");
  });

  it("keeps asking for swap where the kernel does not account for it", () => {
    const asked = resources({ memoryLimitInBytes: 64n * MiB });
    expect(fromHostConfig({ Memory: 67108864, MemorySwap: -1 }, asked, old)).to.deep.equal(asked);
  });

  it("knows Docker's fields alone of a legacy container, or after a broken label", () => {
    const hostConfig = { CpuShares: 2, Memory: 67108864, MemorySwap: 67108864, OomScoreAdj: -997 };
    const expected = resources({
      cpuShares: 2n,
      memoryLimitInBytes: 64n * MiB,
      memorySwapLimitInBytes: 64n * MiB,
      oomScoreAdj: -997n,
    });
    expect(fromHostConfig(hostConfig, undefined, old)).to.deep.equal(expected);
    const kept = inspectFacts(inspectOf({ HostConfig: hostConfig }), true).HostConfig;
    expect(fromHostConfig(kept, undefined, old), "by what is kept").to.deep.equal(expected);
    expect(fromHostConfig({}, undefined, old)).to.deep.equal(resources({}));
    const broken = resources({ cpuShares: -5n });
    expect(fromHostConfig(hostConfig, broken, old)).to.deep.equal(expected);
    expect(fromHostConfig({}, resources({ cpuPeriod: 5000n, cpusetMems: "0" }), old)).to.deep.equal(
      resources({}),
    );
  });

  it("trusts the request for limits that only the cgroup has", () => {
    const small = resources({ memoryLimitInBytes: 4n * MiB });
    expect(fromHostConfig({ Memory: 67108864 }, small, modern).memoryLimitInBytes).to.equal(
      4n * MiB,
    );
    const lifted = resources({ memoryLimitInBytes: -1n });
    expect(fromHostConfig({ Memory: 67108864 }, lifted, modern).memoryLimitInBytes).to.equal(0n);
  });

  it("merges an update over what held", () => {
    const before = resources({
      cpuShares: 512n,
      cpuQuota: 10_000n,
      memoryLimitInBytes: 64n * MiB,
      memorySwapLimitInBytes: 96n * MiB,
      cpusetCpus: "0",
      unified: { "memory.oom.group": "1", "io.weight": "100" },
      hugepageLimits: [
        { pageSize: "2MB", limit: 1n },
        { pageSize: "1GB", limit: 2n },
      ],
    });
    const update = resources({
      cpuQuota: -1n,
      memoryLimitInBytes: 32n * MiB,
      cpusetMems: "0",
      unified: { "io.weight": "50" },
      hugepageLimits: [{ pageSize: "2MB", limit: 3n }],
    });
    expect(mergeResources(before, update)).to.deep.equal(
      resources({
        cpuShares: 512n,
        cpuQuota: -1n,
        memoryLimitInBytes: 32n * MiB,
        cpusetCpus: "0",
        cpusetMems: "0",
        unified: { "memory.oom.group": "1", "io.weight": "50" },
        hugepageLimits: [
          { pageSize: "2MB", limit: 3n },
          { pageSize: "1GB", limit: 2n },
        ],
      }),
    );
    expect(mergeResources(undefined, update)).to.deep.equal(update);
    fc.assert(
      fc.property(limits, (asked) => {
        expect(mergeResources(asked, resources({}))).to.deep.equal(asked);
        expect(mergeResources(asked, asked)).to.deep.equal(asked);
      }),
    );
  });
});
