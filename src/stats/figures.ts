import type { KernelFiles } from "./kernel-files.ts";

/** Figures as the kernel gives them; bytes, nanoseconds and counts as their names say. */

export interface PsiLine {
  totalUs: bigint;
  avg10: number;
  avg60: number;
  avg300: number;
}

/** Pressure stall information of one resource; `full` is missing where the kernel has none. */
export interface Psi {
  some: PsiLine | undefined;
  full: PsiLine | undefined;
}

/** What the kubelet asks for every ten seconds, of one cgroup. */
export interface CgroupFigures {
  /** Wall clock of the reading, nanoseconds. */
  atNs: bigint;
  cpuUsageNs: bigint;
  /** 10^9 is one core; undefined until two readings are a second apart. */
  cpuNanoCores: bigint | undefined;
  cpuPsi: Psi | undefined;
  memory: MemoryFigures | undefined;
  memoryPsi: Psi | undefined;
  swap: SwapFigures | undefined;
  ioPsi: Psi | undefined;
  /** Tasks. */
  pids: bigint | undefined;
}

export interface MemoryFigures {
  usageBytes: bigint;
  /** Usage without the inactive file cache; evictions go by it. */
  workingSetBytes: bigint;
  /** Limit less working set; undefined without a limit of its own. */
  availableBytes: bigint | undefined;
  /** Anonymous memory. */
  rssBytes: bigint;
  pageFaults: bigint;
  majorPageFaults: bigint;
}

export interface SwapFigures {
  usageBytes: bigint;
  /** Undefined without a limit. */
  availableBytes: bigint | undefined;
}

/** Traffic of one device. */
export interface DeviceIo {
  major: string;
  minor: string;
  readBytes: bigint;
  writeBytes: bigint;
  reads: bigint;
  writes: bigint;
}

export interface HugetlbUsage {
  pageSize: string;
  usageBytes: bigint;
  maxUsageBytes: bigint | undefined;
}

/** What only dashboards ask for; a figure that this kernel does not have is undefined. */
export interface CgroupDetails {
  cpuUserNs: bigint | undefined;
  cpuSystemNs: bigint | undefined;
  cfsPeriods: bigint | undefined;
  cfsThrottledPeriods: bigint | undefined;
  cfsThrottledNs: bigint | undefined;
  cpuShares: bigint | undefined;
  cpuPeriodUs: bigint | undefined;
  /** Undefined without a quota. */
  cpuQuotaUs: bigint | undefined;
  cacheBytes: bigint | undefined;
  mappedFileBytes: bigint | undefined;
  /** Of the page cache, what was used again lately and what was not. */
  activeFileBytes: bigint | undefined;
  inactiveFileBytes: bigint | undefined;
  kernelBytes: bigint | undefined;
  maxUsageBytes: bigint | undefined;
  failures: bigint | undefined;
  oomKills: bigint | undefined;
  /** Of this cgroup without its children, for the scope "container"; equal on cgroup v2. */
  ownPageFaults: bigint | undefined;
  ownMajorPageFaults: bigint | undefined;
  /** Limits: 0 is "none", as cAdvisor has it. */
  memoryLimitBytes: bigint | undefined;
  memoryReservationBytes: bigint | undefined;
  memorySwapLimitBytes: bigint | undefined;
  /** 0 is "no limit". */
  pidsMax: bigint | undefined;
  io: DeviceIo[];
  hugetlb: HugetlbUsage[];
  processIds: number[];
}

/** Counters of one interface as seen from inside the network namespace. */
export interface InterfaceFigures {
  name: string;
  rxBytes: bigint;
  rxPackets: bigint;
  rxErrors: bigint;
  rxDropped: bigint;
  txBytes: bigint;
  txPackets: bigint;
  txErrors: bigint;
  txDropped: bigint;
}

/** What costs a file of its own and is not of use to everybody; what is not wanted is undefined. */
export interface WantedFigures {
  pressure: boolean;
  /** What is left of memory and swap, which takes the limits. */
  available: boolean;
  pids: boolean;
}

export const allFigures: WantedFigures = { pressure: true, available: true, pids: true };

/** One cgroup that stays open. Every read gives undefined once the cgroup is gone. */
export interface Cgroup {
  /** Path below the hierarchy's mount point, as cAdvisor names it. */
  readonly path: string;
  cpuUsageNs(): bigint | undefined;
  read(atNs: bigint, wanted: WantedFigures): Omit<CgroupFigures, "cpuNanoCores"> | undefined;
  details(files: KernelFiles): CgroupDetails;
  close(): void;
}
