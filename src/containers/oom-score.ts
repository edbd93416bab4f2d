import { readFileSync, writeFileSync } from "node:fs";
import { errorText } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";
import { containerPids, inContainer } from "../sys/process-tree.ts";
import { boundingSet } from "./host-capabilities.ts";

/**
 * Sets oom_score_adj of every process of a container: Docker's update has no field for it, and
 * children keep what they inherited.
 */
export function writeOomScore(pid: number, containerId: string, score: number): void {
  for (const candidate of containerPids(pid, containerId)) {
    if (!inContainer(candidate, containerId)) continue;
    try {
      writeFileSync(`/proc/${candidate}/oom_score_adj`, String(score));
    } catch (error) {
      if (isErrno(error, "ENOENT", "ESRCH")) continue;
      throw new Error(`oom_score_adj cannot be set to ${score}: ${errorText(error)}`, {
        cause: error,
      });
    }
  }
}

/**
 * The lowest oom_score_adj that containers can be given here. Lowering it below one's own takes
 * CAP_SYS_RESOURCE (bit 24); without it runc fails the whole start, so requests are clamped to the
 * daemon's own value, as containerd's restrict_oom_score_adj does.
 */
export function oomScoreFloor(): number {
  if ((boundingSet("/proc/self/status") & (1n << 24n)) !== 0n) return -1000;
  return Number(readFileSync("/proc/self/oom_score_adj", "utf8").trim());
}
