import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isErrno, namesIn } from "../sys/fs.ts";
import { isJsonObject } from "./conflist.ts";

/** What GC must leave alone, as the spec names it. */
export interface ValidAttachment {
  containerId: string;
  ifName: string;
}

/**
 * Attachments of other runtimes (containerd, CRI-O, nerdctl) to a network of this name, by the cache that
 * libcni keeps for them. They run on after a move from or to Docker, and GC frees what is not on its list.
 */
export async function otherAttachments(
  cacheDir: string,
  network: string,
): Promise<ValidAttachment[]> {
  const folder = join(cacheDir, "results");
  const found: ValidAttachment[] = [];
  for (const name of (await namesIn(folder)).filter((candidate) =>
    candidate.startsWith(`${network}-`),
  )) {
    const attachment =
      (await readCached(join(folder, name))) ?? byName(name.slice(network.length + 1));
    if (attachment !== undefined) found.push(attachment);
  }
  return found;
}

async function readCached(path: string): Promise<ValidAttachment | undefined> {
  try {
    const entry: unknown = JSON.parse(await readFile(path, "utf8"));
    if (!isJsonObject(entry)) return undefined;
    const { containerId, ifName } = entry;
    const isWhole = typeof containerId === "string" && typeof ifName === "string";
    return isWhole ? { containerId, ifName } : undefined;
  } catch (error) {
    // It is being written, or was just removed.
    if (error instanceof SyntaxError || isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** "<container id>-<interface>", the rest of such a file's name. */
function byName(rest: string): ValidAttachment | undefined {
  const at = rest.lastIndexOf("-");
  if (at <= 0) return undefined;
  return { containerId: rest.slice(0, at), ifName: rest.slice(at + 1) };
}
