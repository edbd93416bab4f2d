import { chmod, chown, mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isErrno } from "../../sys/fs.ts";
import type { HostPathType, PlannedFolder, PlannedHostPath, PlannedPod } from "./plan.ts";

/** A name for each pod under it: not for other users, since Secrets lie there. */
const privateMode = 0o700;

/** What the node's disk has of played pods: volumes, /etc/hosts, logs. */
export interface PlayDisk {
  /** Makes what the pod's mounts need. Rejects with the name of a host path of the wrong type. */
  make(plan: PlannedPod): Promise<void>;
  writeHosts(plan: PlannedPod, address: string): Promise<void>;
  /** Tells a play that watches the pod elsewhere not to restart what is ended now. */
  markDown(plan: PlannedPod): Promise<void>;
  /** Of a `--down` that failed half-way nothing is left once the pod is played again. */
  clearMark(plan: PlannedPod): Promise<void>;
  isTakenDown(plan: PlannedPod): Promise<boolean>;
  removeLog(plan: PlannedPod, logPath: string): Promise<void>;
  /** Removes volumes and logs of a pod. */
  remove(plan: PlannedPod): Promise<void>;
}

/** `volumes` has a folder for each pod. */
export function playDisk(volumes: string): PlayDisk {
  return {
    make: (plan) => makeFolders(plan, volumes),
    writeHosts,
    markDown: (plan) => markDown(plan, volumes),
    clearMark: (plan) => rm(markOf(plan, volumes), { force: true }),
    isTakenDown: (plan) => isTakenDown(plan, volumes),
    removeLog: (plan, logPath) => rm(join(plan.logDirectory, logPath), { force: true }),
    remove: async (plan) => {
      await rm(join(volumes, plan.uid), { recursive: true, force: true });
      await rm(plan.logDirectory, { recursive: true, force: true });
    },
  };
}

/**
 * Whether `--down` is under way, or has been since the pod was made, in whatever terminal. No volume can have a
 * name with a dot.
 */
const markOf = (plan: PlannedPod, volumes: string): string => join(volumes, plan.uid, "down.mark");

async function makeFolders(plan: PlannedPod, volumes: string): Promise<void> {
  await mkdir(volumes, { recursive: true, mode: privateMode });
  await chmod(volumes, privateMode);
  await mkdir(join(volumes, plan.uid), { recursive: true });
  for (const folder of plan.folders) await makeFolder(folder, plan.fsGroup);
  for (const path of plan.hostPaths) await makeHostPath(path);
  await mkdir(plan.logDirectory, { recursive: true });
}

async function makeFolder(folder: PlannedFolder, fsGroup: number | undefined): Promise<void> {
  const own = async (path: string, mode: number): Promise<void> => {
    if (fsGroup !== undefined) await chown(path, 0, fsGroup);
    // After the owner, whose change takes the set-group-id bit away; and whatever the umask is.
    await chmod(path, mode);
  };
  await mkdir(folder.path, { recursive: true });
  const setGroup = fsGroup === undefined ? 0 : 0o2000;
  await own(folder.path, (folder.writable ? 0o777 : 0o755) | setGroup);
  for (const { path, content, mode } of folder.files) {
    const target = join(folder.path, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content, { mode: 0o600 });
    await own(target, fsGroup === undefined ? mode : mode | 0o440);
  }
}

const checks: Readonly<Partial<Record<HostPathType, keyof Awaited<ReturnType<typeof stat>>>>> = {
  DirectoryOrCreate: "isDirectory",
  Directory: "isDirectory",
  FileOrCreate: "isFile",
  File: "isFile",
  Socket: "isSocket",
  CharDevice: "isCharacterDevice",
  BlockDevice: "isBlockDevice",
};

async function makeHostPath({ path, type }: PlannedHostPath): Promise<void> {
  if (type === "DirectoryOrCreate") await mkdir(path, { recursive: true });
  if (type === "FileOrCreate") await (await open(path, "a")).close();
  const check = checks[type];
  if (check === undefined) return;
  const found = await stat(path).catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) throw new Error(`hostPath ${path} (${type}) is not there`);
    throw error;
  });
  if (!(found[check] as () => boolean).call(found))
    throw new Error(`hostPath ${path} is no ${type}`);
}

/** /etc/hosts of a pod with host aliases, as the kubelet writes it. */
async function writeHosts(plan: PlannedPod, address: string): Promise<void> {
  if (plan.hosts === undefined) return;
  const { path, hostname, aliases } = plan.hosts;
  const lines = [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    ...(address === "" ? [] : [`${address}\t${hostname}`]),
    ...aliases.map(({ ip, names }) => [ip, ...names].join("\t")),
  ];
  await writeFile(path, `${lines.join("\n")}\n`, { mode: 0o644 });
}

async function markDown(plan: PlannedPod, volumes: string): Promise<void> {
  await writeFile(markOf(plan, volumes), "").catch((error: unknown) => {
    if (!isErrno(error, "ENOENT")) throw error;
  });
}

/** Its folder goes at the end of `--down`, and the mark with it. */
async function isTakenDown(plan: PlannedPod, volumes: string): Promise<boolean> {
  const isThere = (path: string): Promise<boolean> =>
    stat(path).then(
      () => true,
      () => false,
    );
  return !(await isThere(join(volumes, plan.uid))) || (await isThere(markOf(plan, volumes)));
}
