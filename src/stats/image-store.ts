import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../sys/fs.ts";
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

/**
 * The folder whose file system fills up with images. With a graph driver that is the engine's own;
 * with containerd's store it is containerd's root, which the engine does not tell: it shows in the
 * overlay mounts of what runs, else in containerd's configuration.
 */
export function imageStoreFolder(facts: StoreFacts, proc = "/proc"): string {
  if (!facts.containerdStore) return facts.dockerRootDir;
  return (
    rootFromMounts(facts, proc) ??
    managedRoot(facts) ??
    rootFromConfig("/etc/containerd/config.toml") ??
    containerdDefaultRoot
  );
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

/** A containerd that the engine starts itself keeps its data below the engine's. */
function managedRoot(facts: StoreFacts): string | undefined {
  const folder = join(facts.dockerRootDir, "containerd", "daemon");
  return /docker\/containerd\/containerd\.sock$/.test(facts.containerdAddress) && existsSync(folder)
    ? folder
    : undefined;
}

/** The top-level `root` of containerd's configuration, which stands above every table. */
function rootFromConfig(path: string): string | undefined {
  const text = readKernelFile(path) ?? "";
  const top = text.split(/^\s*\[/m)[0] ?? "";
  return /^\s*root\s*=\s*["']([^"']+)["']/m.exec(top)?.[1];
}

/**
 * Bytes of a graph driver's image layers, each once, from the size that the engine noted down beside
 * each layer when it was unpacked. Layers never change: a size is read once.
 */
export class GraphLayerBytes {
  readonly #known = new Map<string, bigint>();

  /** Undefined when the folder is not to be seen (another mount namespace, another driver). */
  read(facts: Pick<StoreFacts, "dockerRootDir" | "driver">): bigint | undefined {
    const folder = join(facts.dockerRootDir, "image", facts.driver, "layerdb", "sha256");
    const names = folderNames(folder);
    if (names === undefined) return undefined;
    let sum = 0n;
    const there = new Set(names);
    for (const name of this.#known.keys()) if (!there.has(name)) this.#known.delete(name);
    for (const name of names) {
      const size = this.#known.get(name) ?? wholeNumber(readKernelFile(join(folder, name, "size")));
      // Just being written or removed.
      if (size === undefined) continue;
      this.#known.set(name, size);
      sum += size;
    }
    return sum;
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
