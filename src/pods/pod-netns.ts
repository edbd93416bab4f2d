import { parseTimeNs } from "../convert/time.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import { addressesNow, canonicalAddress } from "../network/netns-addresses.ts";
import { inspectNetns, isNamespace, netnsInode, netnsInodeNow } from "../network/netns.ts";
import type { PauseRun, SandboxRecord } from "../state/sandbox-records.ts";
import { inContainer } from "../sys/process-tree.ts";

/** What an inspect tells of a pause container; the index keeps it as well. */
export interface PauseFacts {
  State: { Pid: number; StartedAt: string };
  NetworkSettings: { SandboxKey?: string };
}

/** Where the network namespace of a pod is. */
export interface PodNetns {
  /** "" when there is none. */
  path: string;
  /** Missing where only Docker's own path leads to it. */
  run?: PauseRun;
}

type IsIn = typeof inContainer;

const pathOf = (pid: number): string => `/proc/${pid}/ns/net`;

/**
 * By the pause process, as dockershim and cri-dockerd named it: agents in pods see the host's /proc, and it
 * holds wherever dockerd's mounts are (a snap, PrivateMounts=yes). Docker's own bind mount is the second
 * choice, for runtimes whose process is not in the pod's namespace.
 */
export async function podNetns(
  id: string,
  { State: { Pid: pid, StartedAt: startedAt }, NetworkSettings }: PauseFacts,
  isIn: IsIn = inContainer,
): Promise<PodNetns> {
  const path = pathOf(pid);
  if (pid > 0 && isIn(pid, id) && (await inspectNetns(path)) === "pod") {
    const inode = await netnsInode(path);
    // Once more: the pid may have been given away before the look at its namespace.
    if (inode !== undefined && isIn(pid, id)) {
      return { path, run: { pid, startedAt, netnsInode: inode } };
    }
  }
  return { path: NetworkSettings.SandboxKey ?? "" };
}

/** Whether the path leads to the same namespace still. */
export async function isStillAt(
  id: string,
  { path, run }: PodNetns,
  isIn: IsIn = inContainer,
): Promise<boolean> {
  return (run === undefined || isIn(run.pid, id)) && (await isAt(path, run));
}

/** Of a pod that Dockline did not make: Docker's path first, which it was attached by before. */
export async function foreignNetns(
  id: string,
  facts: PauseFacts,
  isIn: IsIn = inContainer,
): Promise<string> {
  const { SandboxKey: key = "" } = facts.NetworkSettings;
  if ((await inspectNetns(key)) === "pod") return key;
  return (await podNetns(id, { ...facts, NetworkSettings: {} }, isIn)).path;
}

/** The namespace that CNI ADD worked in; "" when it is gone, or there is another one in its place. */
export async function attachedNetns(
  record: SandboxRecord,
  isIn: IsIn = inContainer,
): Promise<string> {
  const { id = "", pauseRun: run, netns = "", ownNetns } = record;
  // No other namespace ever has its name; a restarted pause container is in it again.
  if (ownNetns !== undefined && (await inspectNetns(ownNetns)) === "pod") return ownNetns;
  const path = run === undefined ? netns : pathOf(run.pid);
  if (await isStillAt(id, run === undefined ? { path } : { path, run }, isIn)) return path;
  // While Docker has not noticed the end of the pause process, its bind mount still leads there, and the pod's
  // interface still answers.
  return run !== undefined && (await isAt(netns, run)) ? netns : "";
}

/** Without a run, of an earlier release or by Docker's path alone: the bind mount goes with the pause container's run. */
async function isAt(path: string, run: PauseRun | undefined): Promise<boolean> {
  if ((await inspectNetns(path)) !== "pod") return false;
  return run === undefined || (await netnsInode(path)) === run.netnsInode;
}

/** An event tells of a start a little later than the inspect does. */
const sameStartNs = 5_000_000_000n;

/** Of a pod that runs: it came up as it was asked for, and has the network still that it came up with. */
export function isServing(
  record: SandboxRecord | undefined,
  entry: Pick<ContainerEntry, "state" | "inspect" | "dirty">,
): boolean {
  // Of one without a record nothing is known but what Docker says.
  if (record === undefined) return true;
  return record.phase === "ready" && !hasLostNetwork(record, entry);
}

/**
 * True when the pause container runs, and not the run that CNI ADD was for: somebody restarted it, and its
 * namespace is a new one without an address. The kubelet is to make a new sandbox. A restarted pause container joins
 * the namespace again that Dockline made; there only what the engine did to its addresses counts.
 */
export function hasLostNetwork(
  record: SandboxRecord,
  { state, inspect, dirty }: Pick<ContainerEntry, "state" | "inspect" | "dirty">,
): boolean {
  if (record.hostNetwork || record.network === undefined || !state.Running) return false;
  if (!isAnotherRun(record, { state, inspect, dirty })) return false;
  return record.ownNetns === undefined || !isBackOnNetwork(record, state);
}

/** The pause container runs, and not in the run that CNI ADD was for. */
export function isAnotherRun(
  record: SandboxRecord,
  { state, inspect, dirty }: Pick<ContainerEntry, "state" | "inspect" | "dirty">,
): boolean {
  const { pauseRun: run, netns = "" } = record;
  if (run === undefined) {
    // Docker gives the namespace of each run a new name.
    const key = inspect?.NetworkSettings.SandboxKey ?? "";
    return !dirty && netns !== "" && key !== "" && key !== netns && !isNamespace(netns);
  }
  if (state.Pid !== 0 && state.Pid !== run.pid) return true;
  // The pid may have come round again.
  if (state.StartedAt === run.startedAt) return false;
  const startedNs = parseTimeNs(state.StartedAt);
  // A list alone tells of no start.
  if (startedNs === 0n) return false;
  const apartNs = startedNs - parseTimeNs(run.startedAt);
  return apartNs > sameStartNs || apartNs < -sameStartNs;
}

/** Of a run that has been looked at: a view asks for each pod of a list. */
const lookedAt = new WeakMap<SandboxRecord, { run: string; isBack: boolean }>();

/** Whether a restarted pause container is in the pod's own namespace, with every address that CNI ADD gave. */
function isBackOnNetwork(
  record: SandboxRecord,
  { Pid: pid, StartedAt: startedAt }: ContainerEntry["state"],
): boolean {
  // dockline-oci starts it in that namespace or not at all; the addresses are looked at once the pid is known.
  if (pid === 0) return true;
  const run = `${pid} ${startedAt}`;
  const known = lookedAt.get(record);
  if (known?.run === run) return known.isBack;
  const inode = netnsInodeNow(pathOf(pid));
  // It may have ended just now: Docker's next word decides, and the next look.
  if (inode === undefined) return true;
  const addresses = addressesNow(pid);
  if (addresses === undefined) return true;
  const isBack =
    inode === record.pauseRun?.netnsInode &&
    record.ips.every((ip) => addresses.includes(canonicalAddress(ip)));
  lookedAt.set(record, { run, isBack });
  return isBack;
}
