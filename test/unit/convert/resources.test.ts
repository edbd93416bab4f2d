import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { planResources } from "../../../src/convert/resources.ts";
import {
  LinuxContainerResourcesSchema,
  type LinuxContainerResources,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { modern, old, refuses } from "./support.ts";

type Init = Parameters<typeof create<typeof LinuxContainerResourcesSchema>>[1];
const resources = (fields: Init): LinuxContainerResources =>
  create(LinuxContainerResourcesSchema, fields);
const MiB = 1024n * 1024n;
const write = (file: string, value: string, optional = false) => ({
  controller: file.split(".")[0],
  file,
  value,
  optional,
});

describe("convert/resources", () => {
  for (const [what, fields, facts, docker, hostWrites] of [
    ["nothing", {}, modern, {}, []],
    [
      "cpu",
      { cpuPeriod: 100_000n, cpuQuota: 50_000n, cpuShares: 512n },
      modern,
      { CpuPeriod: 100_000, CpuQuota: 50_000, CpuShares: 512 },
      [],
    ],
    ["no cpu quota", { cpuQuota: -1n }, modern, { CpuQuota: -1 }, []],
    ["shares below the kernel's", { cpuShares: 1n }, modern, { CpuShares: 2 }, []],
    [
      "a quota below Docker's",
      { cpuQuota: 500n },
      modern,
      { CpuQuota: 1000, CpuPeriod: 200_000 },
      [],
    ],
    [
      "a quota below Docker's of a short period",
      { cpuQuota: 500n, cpuPeriod: 10_000n },
      modern,
      { CpuQuota: 1000, CpuPeriod: 20_000 },
      [],
    ],
    [
      "a quota so small that no period keeps its share",
      { cpuQuota: 1n, cpuPeriod: 100_000n },
      modern,
      { CpuQuota: 1000, CpuPeriod: 1_000_000 },
      [],
    ],
    [
      "cpusets",
      { cpusetCpus: "0-1,3", cpusetMems: "0" },
      modern,
      { CpusetCpus: "0-1,3", CpusetMems: "0" },
      [],
    ],
    [
      "memory without swap",
      { memoryLimitInBytes: 64n * MiB },
      modern,
      { Memory: 67108864, MemorySwap: 67108864 },
      [],
    ],
    ["no memory limit", { memoryLimitInBytes: -1n }, modern, {}, []],
    [
      "memory and swap",
      { memoryLimitInBytes: 64n * MiB, memorySwapLimitInBytes: 96n * MiB },
      old,
      { Memory: 67108864, MemorySwap: 100663296 },
      [],
    ],
    [
      "unlimited swap",
      { memoryLimitInBytes: 64n * MiB, memorySwapLimitInBytes: -1n },
      old,
      { Memory: 67108864, MemorySwap: -1 },
      [],
    ],
    [
      "memory beyond 2^53",
      { memoryLimitInBytes: 2n ** 53n + 4097n },
      modern,
      { Memory: 9007199254745088, MemorySwap: 9007199254745088 },
      [],
    ],
    [
      "memory below Docker's floor on v2",
      { memoryLimitInBytes: 4n * MiB },
      modern,
      {},
      [write("memory.max", "4194304"), write("memory.swap.max", "0", true)],
    ],
    [
      "memory below Docker's floor on v1",
      { memoryLimitInBytes: 4n * MiB },
      old,
      {},
      [
        write("memory.limit_in_bytes", "4194304"),
        write("memory.memsw.limit_in_bytes", "4194304", true),
      ],
    ],
    [
      "the kubelet's unified keys",
      {
        memoryLimitInBytes: 64n * MiB,
        unified: { "memory.oom.group": "1", "memory.swap.max": "0" },
      },
      modern,
      { Memory: 67108864, MemorySwap: 67108864 },
      [write("memory.oom.group", "1")],
    ],
    [
      "unified swap",
      { memoryLimitInBytes: 64n * MiB, unified: { "memory.swap.max": "1048576" } },
      modern,
      { Memory: 67108864, MemorySwap: 68157440 },
      [],
    ],
    [
      "unlimited unified swap",
      { memoryLimitInBytes: 64n * MiB, unified: { "memory.swap.max": "max" } },
      modern,
      { Memory: 67108864, MemorySwap: -1 },
      [],
    ],
    [
      "unified swap without memory",
      { unified: { "memory.swap.max": "0" } },
      modern,
      {},
      [write("memory.swap.max", "0", true)],
    ],
    [
      "unlimited unified swap and memory",
      { unified: { "memory.swap.max": "max", "memory.max": "max" } },
      modern,
      {},
      [write("memory.swap.max", "max", true)],
    ],
    [
      "unified limits over fields",
      {
        memoryLimitInBytes: 64n * MiB,
        cpusetCpus: "0",
        unified: {
          "memory.max": "134217728",
          "memory.low": "8388608",
          "memory.high": "100000000",
          "cpuset.cpus": "1",
          "cpuset.mems": "0",
          "pids.max": "100",
          "io.weight": "default 100",
        },
      },
      modern,
      {
        Memory: 134217728,
        MemorySwap: 134217728,
        MemoryReservation: 8388608,
        CpusetCpus: "1",
        CpusetMems: "0",
        PidsLimit: 100,
      },
      [write("memory.high", "100000000"), write("io.weight", "default 100")],
    ],
    ["no pids limit", { unified: { "pids.max": "max" } }, modern, { PidsLimit: -1 }, []],
    [
      "a pids limit of 0, which Docker takes for none",
      { unified: { "pids.max": "0" } },
      modern,
      {},
      [write("pids.max", "0")],
    ],
    [
      "a small memory.low",
      { unified: { "memory.low": "4096" } },
      modern,
      {},
      [write("memory.low", "4096")],
    ],
    [
      "an endless memory.low",
      { unified: { "memory.low": "max" } },
      modern,
      {},
      [write("memory.low", "max")],
    ],
    [
      "memory.low above the limit",
      { memoryLimitInBytes: 8n * MiB, unified: { "memory.low": "16777216" } },
      modern,
      { Memory: 8388608, MemorySwap: 8388608 },
      [write("memory.low", "16777216")],
    ],
    [
      "huge pages on v2",
      {
        hugepageLimits: [
          { pageSize: "2MB", limit: 4n * MiB },
          { pageSize: "1GB", limit: 0n },
        ],
      },
      modern,
      {},
      [
        write("hugetlb.2MB.max", "4194304"),
        write("hugetlb.2MB.rsvd.max", "4194304", true),
        write("hugetlb.1GB.max", "0", true),
        write("hugetlb.1GB.rsvd.max", "0", true),
      ],
    ],
    [
      "huge pages on v1",
      { hugepageLimits: [{ pageSize: "64KB", limit: 2n ** 64n - 1n }] },
      old,
      {},
      [
        write("hugetlb.64KB.limit_in_bytes", "18446744073709551615"),
        write("hugetlb.64KB.rsvd.limit_in_bytes", "18446744073709551615", true),
      ],
    ],
    [
      "no huge pages where the kernel limits none",
      { hugepageLimits: [{ pageSize: "2MB", limit: 4n * MiB }] },
      { ...modern, hugepages: false },
      {},
      [],
    ],
  ] as [string, Init, typeof modern, object, object[]][]) {
    it(`plans ${what}`, () => {
      const plan = planResources(resources(fields), facts);
      expect(plan.docker).to.deep.equal(docker);
      expect(plan.hostWrites).to.deep.equal(hostWrites);
    });
  }

  it("plans nothing for nothing", () => {
    expect(planResources(undefined, modern)).to.deep.equal({
      docker: {},
      oomScoreAdj: undefined,
      hostWrites: [],
    });
  });

  it("raises the OOM score to what the host permits", () => {
    const plan = (oomScoreAdj: bigint, oomScoreFloor = -1000) =>
      planResources(resources({ oomScoreAdj }), { ...modern, oomScoreFloor }).oomScoreAdj;
    expect(plan(0n)).to.equal(undefined);
    expect(plan(-997n)).to.equal(-997);
    expect(plan(-997n, -100)).to.equal(-100);
    expect(plan(1000n, 0)).to.equal(1000);
  });

  it("lifts a memory limit on update only", () => {
    expect(planResources(resources({ memoryLimitInBytes: -1n }), modern, true)).to.deep.include({
      docker: {},
      hostWrites: [write("memory.max", "max")],
    });
    expect(
      planResources(resources({ memoryLimitInBytes: -1n }), old, true).hostWrites,
    ).to.deep.equal([
      write("memory.memsw.limit_in_bytes", "-1", true),
      write("memory.limit_in_bytes", "-1"),
    ]);
  });

  for (const [what, fields, facts, message] of [
    ["negative shares", { cpuShares: -1n }, modern, /cpu_shares/],
    ["shares above the kernel's", { cpuShares: 262_145n }, modern, /cpu_shares/],
    ["a quota above the kernel's", { cpuQuota: 1n << 44n }, modern, /cpu_quota/],
    ["shares of 2^53+1", { cpuShares: 2n ** 53n + 1n }, modern, /cpu_shares/],
    ["a negative period", { cpuPeriod: -1n }, modern, /cpu_period/],
    ["a short period", { cpuPeriod: 999n }, modern, /cpu_period/],
    ["a long period", { cpuPeriod: 1_000_001n }, modern, /cpu_period/],
    ["quota -2", { cpuQuota: -2n }, modern, /cpu_quota/],
    ["a quota of 2^53+1", { cpuQuota: 2n ** 53n + 1n }, modern, /cpu_quota/],
    ["negative memory", { memoryLimitInBytes: -2n }, modern, /memory_limit_in_bytes/],
    ["negative swap", { memorySwapLimitInBytes: -2n }, old, /memory_swap_limit_in_bytes/],
    ["swap without memory", { memorySwapLimitInBytes: MiB }, old, /memory_swap_limit_in_bytes/],
    [
      "swap with unlimited memory",
      { memoryLimitInBytes: -1n, memorySwapLimitInBytes: MiB },
      old,
      /memory_swap_limit_in_bytes/,
    ],
    [
      "swap below memory",
      { memoryLimitInBytes: 64n * MiB, memorySwapLimitInBytes: 32n * MiB },
      old,
      /memory_swap_limit_in_bytes/,
    ],
    ["a score of 1001", { oomScoreAdj: 1001n }, modern, /oom_score_adj/],
    ["a score of -1001", { oomScoreAdj: -1001n }, modern, /oom_score_adj/],
    ["odd cpus", { cpusetCpus: "a" }, modern, /cpuset_cpus/],
    ["odd mems", { cpusetMems: "0\n" }, modern, /cpuset_mems/],
    [
      "unified on v1",
      { unified: { "memory.max": "1" } },
      old,
      /unified\["memory.max"\]: this node has cgroup v1/,
    ],
    ["a path for a key", { unified: { "../memory.max": "1" } }, modern, /unified/],
    ["a key without controller", { unified: { memory: "1" } }, modern, /unified/],
    ["a cgroup file", { unified: { "cgroup.kill": "1" } }, modern, /unified\["cgroup.kill"\]/],
    [
      "__proto__",
      { unified: JSON.parse('{"__proto__":"1"}') as Record<string, string> },
      modern,
      /unified/,
    ],
    ["two lines", { unified: { "io.max": "a\nb" } }, modern, /unified/],
    ["an empty value", { unified: { "io.max": "" } }, modern, /unified/],
    ["odd memory.max", { unified: { "memory.max": "1G" } }, modern, /memory\.max/],
    ["odd memory.swap.max", { unified: { "memory.swap.max": "-1" } }, modern, /memory\.swap\.max/],
    ["odd pids.max", { unified: { "pids.max": "-1" } }, modern, /pids\.max/],
    [
      "an odd page size",
      { hugepageLimits: [{ pageSize: "../2MB", limit: 0n }] },
      modern,
      /hugepage_limits/,
    ],
    [
      "too many huge pages",
      { hugepageLimits: [{ pageSize: "2MB", limit: 2n ** 64n }] },
      modern,
      /hugepage_limits/,
    ],
  ] as [string, Init, typeof modern, RegExp][]) {
    it(`refuses ${what}`, () => {
      refuses(() => planResources(resources(fields), facts), message);
    });
  }
});
