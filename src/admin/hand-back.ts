import { lstat, mkdir, readlink, rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import { formatCheckpoint, toCheckpoint } from "./checkpoint-file.ts";
import { decodeSandboxSpec } from "../convert/stored-spec.ts";
import type { NetworkAttachment } from "../network/attachment.ts";
import { versionAtLeast } from "../network/conflist.ts";
import { writeLegacyCache } from "../network/legacy-cache.ts";
import { PodNamespaces } from "../network/pod-namespaces.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { isErrno, readTextIfExists, unlinkIfExists, writeFileAtomic } from "../sys/fs.ts";
import type { FoundContainer } from "./migrate-node.ts";

/** A running container's CRI log and the file of Docker that takes its place. */
export interface LogSwitch {
  path: string;
  /** Where the CRI log waits for the way back. */
  kept: string;
  dockerLog: string;
}

/** All that a hand-back writes; kept in the state folder, so that it can be undone. */
export interface HandBack {
  version: 1;
  /** Checkpoints and CNI results. */
  created: string[];
  logs: LogSwitch[];
}

/** Where it is kept. */
export const journalOf = (stateDir: string): string => join(stateDir, "handed-back.json");

/** The newest CNI version that cri-dockerd's library reads; 1.1's results differ by additions only. */
const newestForCriDockerd = "1.0.0";
const ifName = "eth0";

/** What cri-dockerd needs for the pods that Dockline made, and what of it is not there yet. */
export interface HandBackPlan {
  checkpoints: { path: string; text: string }[];
  attachments: NetworkAttachment[];
  logs: LogSwitch[];
  /** Pins of network namespaces that Dockline made: the pods keep them by Docker's own, and nobody else would take these away. */
  namespaces: string[];
  cacheDir: string;
}

/** Whether a plan has nothing to write. */
export const isEmpty = ({ checkpoints, attachments, logs, namespaces }: HandBackPlan): boolean =>
  checkpoints.length + attachments.length + logs.length + namespaces.length === 0;

/** Reads what is there, writes nothing. With a journal it is what a broken off hand-back has left to do. */
export async function planHandBack(options: {
  containers: readonly FoundContainer[];
  records: readonly SandboxRecord[];
  criDockerdRoot: string;
  cacheDir: string;
  journal?: HandBack | undefined;
}): Promise<HandBackPlan> {
  const begun = options.journal !== undefined;
  const existing = new Set(options.containers.map(({ id }) => id));
  const plan: HandBackPlan = {
    checkpoints: [],
    attachments: [],
    logs: [],
    namespaces: [],
    cacheDir: options.cacheDir,
  };
  for (const record of options.records) {
    if (record.id === undefined || !existing.has(record.id)) continue;
    const path = join(options.criDockerdRoot, "sandbox", record.id);
    const text = checkpointOf(record);
    if (!begun || (await readTextIfExists(path)) !== text) plan.checkpoints.push({ path, text });
    const { ownNetns } = record;
    if (ownNetns !== undefined && (await kindOf(ownNetns)) !== "nothing") {
      plan.namespaces.push(ownNetns);
    }
    const attachment = record.network as NetworkAttachment | undefined;
    if (attachment?.result === undefined) continue;
    if (begun && (await kindOf(resultPath(options.cacheDir, attachment))) === "file") continue;
    plan.attachments.push(forCriDockerd(attachment));
  }
  for (const { identity, inspect } of options.containers) {
    // A finished container's log is complete as it is, and the kubelet reads both forms.
    if (identity.kind !== "container" || identity.legacy || !inspect.State.Running) continue;
    if (identity.logPath === "" || inspect.LogPath === "") continue;
    const { logPath: path } = identity;
    const kept = `${path}.dockline`;
    const now = await kindOf(path);
    // Moved, and broken off before the link was made.
    const moved = begun && now === "nothing" && (await kindOf(kept)) === "file";
    if (now === "file" || moved) plan.logs.push({ path, kept, dockerLog: inspect.LogPath });
  }
  return plan;
}

/** Carries the plan out. What was begun can be undone, or planned and done again, after a crash as well. */
export async function handBack(
  plan: HandBackPlan,
  journalPath: string,
  namespaces: Pick<PodNamespaces, "remove"> = new PodNamespaces(),
): Promise<void> {
  const before = await readHandBack(journalPath);
  const created = [
    ...plan.checkpoints.map(({ path }) => path),
    ...plan.attachments.map((attachment) => resultPath(plan.cacheDir, attachment)),
  ];
  const journal: HandBack = {
    version: 1,
    created: [...new Set([...(before?.created ?? []), ...created])],
    logs: [
      ...(before?.logs ?? []).filter(({ path }) => !plan.logs.some((log) => log.path === path)),
      ...plan.logs,
    ],
  };
  await writeFileAtomic(journalPath, JSON.stringify(journal));
  for (const { path, text } of plan.checkpoints) {
    await mkdir(join(path, ".."), { recursive: true, mode: 0o755 });
    await writeFileAtomic(path, text);
  }
  for (const attachment of plan.attachments) await writeLegacyCache(plan.cacheDir, attachment);
  for (const { path, kept, dockerLog } of plan.logs) {
    if ((await kindOf(path)) === "file") await rename(path, kept);
    await symlink(dockerLog, path);
  }
  for (const path of plan.namespaces) await namespaces.remove(path);
}

/** Undefined when nothing was handed back. Throws for a journal that it does not understand. */
export async function readHandBack(journalPath: string): Promise<HandBack | undefined> {
  const text = await readTextIfExists(journalPath);
  if (text === undefined) return undefined;
  const journal = JSON.parse(text) as Partial<HandBack>;
  if (journal.version !== 1 || journal.created === undefined || journal.logs === undefined) {
    throw new Error(`${journalPath} is not a journal of this version`);
  }
  return journal as HandBack;
}

/**
 * Takes back what a hand-back wrote. Logs become CRI files again, to be continued where Dockline's
 * own positions say; a log whose container cri-dockerd has removed stays where it is.
 */
export async function undoHandBack(journal: HandBack, journalPath: string): Promise<void> {
  for (const path of journal.created) await unlinkIfExists(path);
  for (const { path, kept, dockerLog } of journal.logs) {
    if ((await kindOf(kept)) !== "file") continue;
    const now = await kindOf(path);
    if (now === "link" && (await readlink(path)) === dockerLog) await unlinkIfExists(path);
    else if (now !== "nothing") continue;
    else if ((await kindOf(dockerLog)) === "nothing") continue;
    await rename(kept, path);
  }
  await unlinkIfExists(journalPath);
}

const resultPath = (cacheDir: string, { networkName, containerId }: NetworkAttachment): string =>
  join(cacheDir, "results", `${networkName}-${containerId}-${ifName}`);

function checkpointOf(record: SandboxRecord): string {
  const config = decodeSandboxSpec(record.config);
  if (config === undefined) throw new Error(`the record of ${record.name} is damaged`);
  return formatCheckpoint(toCheckpoint(config, record.hostNetwork));
}

function forCriDockerd(attachment: NetworkAttachment): NetworkAttachment {
  const older = (version: unknown): string =>
    typeof version === "string" && !versionAtLeast(version, "1.1.0")
      ? version
      : newestForCriDockerd;
  return {
    ...attachment,
    cniVersion: older(attachment.cniVersion),
    ...(attachment.result === undefined
      ? {}
      : { result: { ...attachment.result, cniVersion: older(attachment.result["cniVersion"]) } }),
  };
}

async function kindOf(path: string): Promise<"nothing" | "file" | "link" | "other"> {
  try {
    const found = await lstat(path);
    if (found.isSymbolicLink()) return "link";
    return found.isFile() ? "file" : "other";
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return "nothing";
    throw error;
  }
}
