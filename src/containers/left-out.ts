import { replacedVariables } from "../convert/environment.ts";
import { isKnownPropagation } from "../convert/mounts.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import type { KeyValue, LinuxContainerResources, Mount } from "../gen/runtime/v1/api_pb.js";
import type { Logger } from "../log.ts";

/** What a request asks of a container. */
export interface Asked {
  readonly envs?: readonly KeyValue[];
  readonly mounts?: readonly Pick<Mount, "hostPath" | "propagation">[];
  readonly resources: Pick<LinuxContainerResources, "hugepageLimits"> | undefined;
}

/**
 * Warns of what a container asks for and does not get, where containerd, CRI-O and cri-dockerd run it all the same:
 * the log is the only place that says so.
 *
 * @param about whom each line names; within a call the log adds the names itself
 */
export function warnOfLeftOut(
  log: Pick<Logger, "warn">,
  about: { containerId?: string },
  asked: Asked,
  facts: Pick<EngineFacts, "hugepages">,
): void {
  for (const { hostPath, propagation } of asked.mounts ?? []) {
    if (isKnownPropagation(propagation)) continue;
    log.warn({ ...about, hostPath, propagation }, "unknown mount propagation: taken as private");
  }
  const variables = replacedVariables(asked.envs ?? []);
  if (variables.length > 0) {
    log.warn({ ...about, variables }, "values of variables are not UTF-8: odd bytes become U+FFFD");
  }
  const limits = (asked.resources?.hugepageLimits ?? []).filter(({ limit }) => limit > 0n);
  if (facts.hugepages !== false || limits.length === 0) return;
  const pageSizes = limits.map(({ pageSize }) => pageSize);
  log.warn(
    { ...about, pageSizes },
    "huge page limits do not hold: this kernel has no cgroup controller for them",
  );
}
