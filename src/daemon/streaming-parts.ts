import type { Config } from "../config/options.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import { execEnder } from "../engine/end-exec.ts";
import type { EndExec } from "../engine/end-exec.ts";
import type { ContainerIndex } from "../index/container-index.ts";
import type { Logger } from "../log.ts";
import type { OwedEffects } from "../state/owed-effects.ts";
import type { SandboxRecords } from "../state/sandbox-records.ts";
import { createStreamingServer } from "../streaming/server.ts";
import type { StreamingServer } from "../streaming/server.ts";
import type { Clock } from "../sys/clock.ts";
import { execPid } from "../containers/criu.ts";
import { attachedNetns, foreignNetns } from "../pods/pod-netns.ts";
import { killExecTree } from "../sys/process-tree.ts";

export interface StreamingParts {
  streaming: StreamingServer;
  endExec: EndExec;
  /** Execs whose end is owed are left to the next process. */
  stopEnding: () => void;
}

/** The streaming server, and what ends execs for it and for ExecSync. */
export function buildStreaming(deps: {
  config: Config;
  engine: DockerEngine;
  index: ContainerIndex;
  records: SandboxRecords;
  owed: OwedEffects;
  clock: Clock;
  log: Logger;
}): StreamingParts {
  const { config, engine, index, records, owed, clock, log } = deps;
  const pidOf = (execId: string, containerId: string): number | "none" | "unknown" => {
    const container = index.peek(containerId);
    if (container?.state.Running !== true) return "none";
    // Known from a list only, which tells no pid.
    return container.state.Pid === 0
      ? "unknown"
      : execPid(container.state.Pid, containerId, execId);
  };
  const stopping = new AbortController();
  const endExec = execEnder({
    ...{ engine, clock, killExecTree, pidOf, stopping: stopping.signal },
    ended: (execId) => owed.execDone(execId),
  });
  const streaming = createStreamingServer({
    engine,
    bindAddress: config.streamingBindAddr,
    ...(config.streamingTlsCert === ""
      ? {}
      : { tls: { certFile: config.streamingTlsCert, keyFile: config.streamingTlsKey } }),
    allowInsecureBind: config.streamingInsecure,
    sandboxNetns: (id) => sandboxNetns({ index, records }, id),
    endExec,
    execNotes: owed,
    clock,
    log,
  });
  return { streaming, endExec, stopEnding: () => stopping.abort() };
}

/** Where a port-forward dials: the pod's namespace, or the host's. */
async function sandboxNetns(
  deps: { index: ContainerIndex; records: SandboxRecords },
  podSandboxId: string,
): Promise<{ netns: string | undefined }> {
  const sandbox = await deps.index.find("podsandbox", podSandboxId);
  const record = deps.records.byId(podSandboxId);
  const host = record?.hostNetwork ?? sandbox?.inspect?.HostConfig.NetworkMode === "host";
  if (host) return { netns: undefined };
  if (sandbox?.state.Running === true) {
    const { inspect, state: State } = sandbox;
    const netns =
      record !== undefined
        ? await attachedNetns(record)
        : inspect !== undefined
          ? await foreignNetns(sandbox.id, { ...inspect, State })
          : "";
    if (netns !== "") return { netns };
  }
  throw new Error(`pod sandbox ${podSandboxId} has no network namespace`);
}
