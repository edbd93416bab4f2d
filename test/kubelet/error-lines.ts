/** Error lines that a healthy node's kubelet writes as well, none of them about the runtime. */
const tolerated: [RegExp, string][] = [
  [/Failed to set rlimit on max file handles/, "a container without CAP_SYS_RESOURCE"],
  [/PLEG is not healthy: pleg has yet to be successful/, "said once before the first relist"],
  [
    /Image garbage collection failed once\. Stats initialization/,
    "said once before the first stats",
  ],
  [
    /Failed to read data from checkpoint.*checkpoint is not found/,
    "its own state on a first start",
  ],
  [/Failed to ensure process in container with oom score/, "looks for systemd as init"],
  [/no imagefs label for configured runtime/, "its cAdvisor knows only cri-o's"],
  [/Unable to process watch event/, "a manifest that was taken away while it was read"],
  [/Error on socket receive/, "a client of its own that went"],
  [/container runtime status check may not have completed yet/, "said once before the first check"],
  [
    /ContainerStatus from runtime service failed.*NotFound/,
    "dead links in /var/log/containers that an earlier kubelet of this machine left",
  ],
  [/failed to check if node is newer/, "no API server"],
];

/** The lines at error level that speak against the runtime. */
export function errorLines(log: string): string[] {
  return log
    .split("\n")
    .filter((line) => /^E\d{4} /.test(line))
    .filter((line) => !tolerated.some(([pattern]) => pattern.test(line)));
}
