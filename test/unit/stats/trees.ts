import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

export const containerId = "c".repeat(64);

/** Writes a tree of kernel files; `root` gives the path of a name. */
export function writeTree(root: (name: string) => string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(root(name)), { recursive: true });
    writeFileSync(root(name), text);
  }
}

/** As recorded on a host with cgroup v1 and an empty unified hierarchy beside it (Linux 6.18). */
export function v1Files(pid: number, parent: string): Record<string, string> {
  const path = `${parent}/${containerId}`;
  const files: Record<string, string> = {
    [`proc/${pid}/cgroup`]: [
      `5:pids:${path}`,
      `4:memory:${path}`,
      `3:blkio:${path}`,
      `2:cpuacct:${path}`,
      `1:cpu:${path}`,
      `0::${path}`,
      "",
    ].join("\n"),
  };
  for (const folder of [path, parent]) {
    const factor = folder === path ? 1n : 3n;
    Object.assign(files, {
      [`cpuacct${folder}/cpuacct.usage`]: `${22_761_237n * factor}\n`,
      [`cpuacct${folder}/cpuacct.usage_user`]: "9754000\n",
      [`cpuacct${folder}/cpuacct.usage_sys`]: "13006000\n",
      [`cpu${folder}/cpu.stat`]: "nr_periods 7\nnr_throttled 3\nthrottled_time 2500000000\n",
      [`cpu${folder}/cpu.shares`]: "51\n",
      [`cpu${folder}/cpu.cfs_period_us`]: "100000\n",
      [`cpu${folder}/cpu.cfs_quota_us`]: "-1\n",
      [`memory${folder}/memory.usage_in_bytes`]: `${50_000_000n * factor}\n`,
      [`memory${folder}/memory.limit_in_bytes`]:
        folder === path ? "67108864\n" : "9223372036854771712\n",
      [`memory${folder}/memory.soft_limit_in_bytes`]: "9223372036854771712\n",
      [`memory${folder}/memory.memsw.limit_in_bytes`]: "134217728\n",
      [`memory${folder}/memory.max_usage_in_bytes`]: "60000000\n",
      [`memory${folder}/memory.failcnt`]: "2\n",
      [`memory${folder}/memory.kmem.usage_in_bytes`]: "4096\n",
      [`memory${folder}/memory.oom_control`]: "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
      [`memory${folder}/memory.stat`]: [
        "cache 1",
        "pgfault 11",
        "pgmajfault 1",
        "inactive_file 5",
        "hierarchical_memory_limit 67108864",
        "hierarchical_memsw_limit 134217728",
        "total_cache 33554432",
        "total_rss 16000000",
        "total_mapped_file 8192",
        "total_swap 1048576",
        "total_pgfault 840",
        "total_pgmajfault 3",
        "total_inactive_file 33000000",
        "total_active_file 500000",
        "",
      ].join("\n"),
      [`pids${folder}/pids.current`]: "4\n",
      [`pids${folder}/pids.max`]: "max\n",
      [`pids${folder}/cgroup.procs`]: "101\n102\n",
      [`blkio${folder}/blkio.throttle.io_service_bytes_recursive`]:
        "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288\n",
      [`blkio${folder}/blkio.throttle.io_serviced_recursive`]: "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
      [`unified${folder}/cpu.pressure`]:
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=23161\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=17993\n",
    });
  }
  return files;
}

/** As recorded on a host with cgroup v2 alone (Linux 6.1), systemd driver. */
export function v2Files(pid: number, parent: string): Record<string, string> {
  const path = `${parent}/docker-${containerId}.scope`;
  const folder = `unified${path}`;
  return {
    // A workload with systemd inside sits in a cgroup of its own below the container's.
    [`proc/${pid}/cgroup`]: `0::${path}/init.scope\n`,
    [`${folder}/cpu.stat`]:
      "usage_usec 22761\nuser_usec 9754\nsystem_usec 13006\nnr_periods 7\nnr_throttled 3\nthrottled_usec 2500000\n",
    [`${folder}/cpu.max`]: "20000 100000\n",
    [`${folder}/cpu.weight`]: "39\n",
    [`${folder}/memory.current`]: "50000000\n",
    [`${folder}/memory.max`]: "67108864\n",
    [`${folder}/memory.low`]: "1048576\n",
    [`${folder}/memory.min`]: "8388608\n",
    [`${folder}/memory.peak`]: "60000000\n",
    [`${folder}/memory.swap.current`]: "1048576\n",
    [`${folder}/memory.swap.max`]: "33554432\n",
    [`${folder}/memory.events`]: "low 0\nhigh 0\nmax 2\noom 1\noom_kill 1\n",
    [`${folder}/memory.stat`]:
      "anon 16000000\nfile 33554432\nkernel 4096\nfile_mapped 8192\ninactive_file 33000000\nactive_file 500000\npgfault 840\npgmajfault 3\n",
    [`${folder}/pids.current`]: "4\n",
    [`${folder}/pids.max`]: "100\n",
    [`${folder}/io.stat`]: "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
    [`${folder}/hugetlb.2MB.current`]: "2097152\n",
    [`${folder}/cgroup.procs`]: "",
    [`${folder}/init.scope/cgroup.procs`]: "101\n102\n",
    [`unified${parent}/cpu.stat`]: "usage_usec 90000\n",
  };
}
