import { readdirSync, realpathSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../sys/fs.ts";
import { Turns } from "../sys/turns.ts";
import { readKernelFile } from "./kept-file.ts";
import { overlayMounts } from "./layer-path.ts";
import { wholeNumber } from "./scan.ts";

/** The engine's own words on where things are. */
export interface StoreFacts {
  dockerRootDir: string;
  /** Graph driver or snapshotter: "overlay2", "overlayfs". */
  driver: string;
  /** Images are in containerd's store instead of a graph driver's. */
  containerdStore: boolean;
  /** containerd's socket; "" where the engine does not say. */
  containerdAddress: string;
}

const snapshotsMark = "/io.containerd.snapshotter.v1.";
const containerdDefaultRoot = "/var/lib/containerd";
const containerdConfig = "/etc/containerd/config.toml";
const containerdAddress = "/run/containerd/containerd.sock";

/**
 * The folder whose file system fills up with images. With a graph driver that is the engine's own;
 * with containerd's store it is containerd's root, which the engine does not tell: it shows in the
 * overlay mounts of what runs, else in how containerd was started.
 */
export function imageStoreFolder(facts: StoreFacts, proc = "/proc"): string {
  if (!facts.containerdStore) return facts.dockerRootDir;
  return rootFromMounts(facts, proc) ?? rootFromProcess(facts, proc) ?? containerdDefaultRoot;
}

/** Only mounts of this engine count: a node may run another containerd beside it. */
function rootFromMounts(facts: StoreFacts, proc: string): string | undefined {
  for (const { mountPoint, upperDir } of overlayMounts("self", proc)) {
    const at = upperDir?.indexOf(snapshotsMark) ?? -1;
    if (upperDir === undefined || at <= 0) continue;
    if (mountPoint.startsWith(`${facts.dockerRootDir}/`)) return upperDir.slice(0, at);
  }
  return undefined;
}

/**
 * The root that containerd was started with: the process that serves the engine's address, and the
 * configuration file that it was given. A containerd that the engine starts itself is found alike.
 */
function rootFromProcess(facts: StoreFacts, proc: string): string | undefined {
  for (const pid of folderNames(proc) ?? []) {
    if (!/^\d+$/.test(pid)) continue;
    if (readKernelFile(join(proc, pid, "comm"))?.trim() !== "containerd") continue;
    const args = (readKernelFile(join(proc, pid, "cmdline")) ?? "").split("\0");
    const config = readConfig(argument(args, "--config", "-c") ?? containerdConfig);
    const address = argument(args, "--address", "-a") ?? config.address ?? containerdAddress;
    if (realPath(address) !== realPath(facts.containerdAddress || containerdAddress)) continue;
    return argument(args, "--root") ?? config.root ?? containerdDefaultRoot;
  }
  return undefined;
}

function argument(args: readonly string[], ...names: string[]): string | undefined {
  for (const [at, text] of args.entries()) {
    if (names.includes(text)) return args[at + 1];
    const name = names.find((each) => text.startsWith(`${each}=`));
    if (name !== undefined) return text.slice(name.length + 1);
  }
  return undefined;
}

/** `root` stands above every table of the file; `address` is the first one in the table [grpc]. */
function readConfig(path: string): { root: string | undefined; address: string | undefined } {
  const tables = (readKernelFile(path) ?? "").split(/^\s*(?=\[)/m);
  const value = (text: string | undefined, key: string): string | undefined =>
    new RegExp(`^\\s*${key}\\s*=\\s*["']([^"']+)["']`, "m").exec(text ?? "")?.[1];
  const top = tables[0]?.startsWith("[") === true ? undefined : tables[0];
  const grpc = tables.find((table) => table.startsWith("[grpc]"));
  return { root: value(top, "root"), address: value(grpc, "address") };
}

/** "/var/run" and "/run" are the same folder. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/**
 * Bytes of a graph driver's image layers, each once, from the size that the engine noted down beside
 * each layer when it was unpacked. Layers never change: a size is read once.
 */
export class GraphLayerBytes {
  readonly #known = new Map<string, bigint>();

  /** Undefined when the folder is not to be seen (another mount namespace, another driver). */
  async read(facts: Pick<StoreFacts, "dockerRootDir" | "driver">): Promise<bigint | undefined> {
    const folder = join(facts.dockerRootDir, "image", facts.driver, "layerdb", "sha256");
    const names = await unlessHidden(readdir(folder));
    if (names === undefined) return undefined;
    let sum = 0n;
    const there = new Set(names);
    for (const name of this.#known.keys()) if (!there.has(name)) this.#known.delete(name);
    const turns = new Turns();
    for (const name of names) {
      // A size is a tenth of the work when it is read at once, but a node may have 100 000 of them.
      await turns.next();
      const size = this.#known.get(name) ?? wholeNumber(readKernelFile(join(folder, name, "size")));
      // Just being written or removed.
      if (size === undefined) continue;
      this.#known.set(name, size);
      sum += size;
    }
    return sum;
  }
}

async function unlessHidden(names: Promise<string[]>): Promise<string[] | undefined> {
  try {
    return await names;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
}

function folderNames(folder: string): string[] | undefined {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
}
