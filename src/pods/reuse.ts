import { fromBinary } from "@bufbuild/protobuf";
import { configHash } from "../convert/config-hash.ts";
import type { SandboxId } from "../convert/names.ts";
import { CriError } from "../errors.ts";
import { PodSandboxConfigSchema } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import { addressesOfProcess } from "../network/netns-addresses.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { inContainer } from "../sys/process-tree.ts";
import { hasLostNetwork } from "./pod-netns.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";

/**
 * The id when an earlier call with this very configuration made it and it runs.
 *
 * @throws CriError AlreadyExists when it runs with another configuration
 */
export async function runsAlready(
  { index }: Pick<SandboxDeps, "index">,
  entry: ContainerEntry,
  record: SandboxRecord | undefined,
  hash: string,
): Promise<SandboxId | undefined> {
  const now = await index.find("podsandbox", entry.id);
  if (now?.state.Running !== true) return undefined;
  // It runs, and nobody reaches it.
  if (record !== undefined && hasLostNetwork(record, now)) return undefined;
  const madeOf = record?.configHash ?? now.identity.extra.hash;
  if (madeOf === hash || (record !== undefined && hashToday(record) === hash)) {
    return record !== undefined || (await isAttached(now)) ? (now.id as SandboxId) : undefined;
  }
  throw new CriError(
    "AlreadyExists",
    `sandbox ${now.name} runs with another configuration as ${now.id}`,
  );
}

/**
 * The hash that this release gives to the recorded request. A release whose CRI has other fields gives
 * another one to the same request: each field counts, with its default too.
 */
function hashToday({ config, runtimeHandler }: SandboxRecord): string | undefined {
  try {
    const asked = fromBinary(PodSandboxConfigSchema, Buffer.from(config, "base64"));
    return configHash(PodSandboxConfigSchema, asked, runtimeHandler);
  } catch {
    return undefined;
  }
}

/** Of a sandbox whose record is lost: whether it ever got its network. */
async function isAttached({ inspect, id, state }: ContainerEntry): Promise<boolean> {
  if (inspect?.HostConfig.NetworkMode === "host") return true;
  return inContainer(state.Pid, id) && (await addressesOfProcess(state.Pid)).length > 0;
}
