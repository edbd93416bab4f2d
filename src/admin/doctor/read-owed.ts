import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseName } from "../../convert/names.ts";
import type { ContainerSummary } from "../../engine/types.ts";
import { limitsOwedBy } from "../../state/owed-effects.ts";
import { lookAtRecords } from "../../state/record-look.ts";
import type { SandboxRecord } from "../../state/sandbox-records.ts";
import { isErrno } from "../../sys/fs.ts";
import type { OwedFacts } from "./facts.ts";

/** A note is made before a start, and goes when the limits are written: seconds, on an engine that is busy. */
const patienceMs = 60_000;

export interface OwedPlaces {
  stateDir: string;
  runDir: string;
}

/** @param containers of Docker; undefined where it does not answer, and then no limits are known to be owed */
export async function readOwed(
  { stateDir, runDir }: OwedPlaces,
  containers: readonly ContainerSummary[] | undefined,
  nowMs = Date.now(),
): Promise<OwedFacts | "unreadable"> {
  try {
    const { records, unusable } = await lookAtRecords(stateDir);
    const running = (containers ?? []).filter(({ State }) => State === "running");
    const ids = new Set(running.map(({ Id }) => Id));
    return {
      pods: records.filter(({ delFailure }) => delFailure !== undefined).map(podOf),
      records: unusable,
      limits: (await limitsIn(join(runDir, "owed"), nowMs)).filter((id) => ids.has(id)),
    };
  } catch (error) {
    if (isErrno(error, "EACCES")) return "unreadable";
    throw error;
  }
}

/** Ids of the containers that still exist among those which dockline-oci has to start. */
export async function readEdited(
  runDir: string,
  containers: readonly ContainerSummary[],
): Promise<string[]> {
  const existing = new Set(containers.map(({ Id }) => Id));
  return (await namesIn(join(runDir, "oci")))
    .filter((name) => name.endsWith(".json"))
    .map((name) => name.slice(0, -".json".length))
    .filter((id) => existing.has(id));
}

function podOf({ name, network, ips, delFailure }: SandboxRecord): OwedFacts["pods"][number] {
  const parsed = parseName(name);
  const { networkName } = (network ?? {}) as { networkName?: unknown };
  return {
    pod:
      parsed?.kind === "podsandbox" ? `${parsed.metadata.namespace}/${parsed.metadata.name}` : name,
    network: typeof networkName === "string" ? networkName : "unknown",
    addresses: ips,
    failure: delFailure ?? "",
  };
}

async function limitsIn(folder: string, nowMs: number): Promise<string[]> {
  const ids = new Set<string>();
  for (const name of await namesIn(folder)) {
    const id = limitsOwedBy(name);
    if (id === undefined) continue;
    try {
      const { mtimeMs } = await stat(join(folder, name));
      if (nowMs - mtimeMs > patienceMs) ids.add(id);
    } catch (error) {
      // Paid meanwhile.
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
  return [...ids];
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return [];
    throw error;
  }
}
