import { existsSync } from "node:fs";
import type { Config } from "./config/options.ts";
import type { DockerEngine } from "./engine/docker-engine.ts";
import { execEnder } from "./engine/end-exec.ts";
import type { EndExec } from "./engine/end-exec.ts";
import type { ContainerIndex } from "./index/container-index.ts";
import type { Logger } from "./log.ts";
import type { SandboxRecords } from "./state/sandbox-records.ts";
import { createStreamingServer } from "./streaming/server.ts";
import type { StreamingServer } from "./streaming/server.ts";
import type { Clock } from "./sys/clock.ts";
import { killExecTree } from "./sys/process-tree.ts";

export interface StreamingParts {
  streaming: StreamingServer;
  endExec: EndExec;
}

/** The streaming server, and what ends execs for it and for ExecSync. */
export function buildStreaming(deps: {
  config: Config;
  engine: DockerEngine;
  index: ContainerIndex;
  records: SandboxRecords;
  clock: Clock;
  log: Logger;
}): StreamingParts {
  const { config, engine, index, records, clock, log } = deps;
  const endExec = execEnder({ engine, clock, killExecTree });
  const streaming = createStreamingServer({
    engine,
    bindAddress: config.streamingBindAddr,
    ...(config.streamingTlsCert === ""
      ? {}
      : { tls: { certFile: config.streamingTlsCert, keyFile: config.streamingTlsKey } }),
    allowInsecureBind: config.streamingInsecure,
    sandboxNetns: (id) => sandboxNetns({ index, records }, id),
    endExec,
    clock,
    log,
  });
  return { streaming, endExec };
}

/** Where a port-forward dials: the pod's namespace by its bind mount, or the host's. */
async function sandboxNetns(
  deps: { index: ContainerIndex; records: SandboxRecords },
  podSandboxId: string,
): Promise<{ netns: string | undefined }> {
  const sandbox = await deps.index.find("podsandbox", podSandboxId);
  const record = deps.records.byId(podSandboxId);
  const host = record?.hostNetwork ?? sandbox?.inspect?.HostConfig.NetworkMode === "host";
  if (host) return { netns: undefined };
  const netns = record?.netns ?? sandbox?.inspect?.NetworkSettings.SandboxKey ?? "";
  if (netns === "" || !existsSync(netns) || sandbox?.state.Running !== true) {
    throw new Error(`pod sandbox ${podSandboxId} has no network namespace`);
  }
  return { netns };
}
