import { constants } from "node:fs";
import type { Stats } from "node:fs";
import {
  chmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  rm,
  symlink,
  utimes,
} from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { isErrno } from "../sys/fs.ts";
import { isPlain, kindOf, linkOf, ownerOf, partsOf, refusal } from "./layer-entry.ts";
import type { Owned, Refusal, UnpackBudget } from "./layer-entry.ts";
import { drain, readTar } from "./read-tar.ts";
import type { TarEntry } from "./read-tar.ts";

export interface UnpackedLayer {
  /** Folders that have an entry of their own in the layer, "" for its root. Others were only made as parents. */
  readonly described: ReadonlySet<string>;
  /** Files whose extended attributes (file capabilities) could not be kept. */
  readonly withoutAttributes: number;
}

const MAX_LINK_BYTES = 4095;
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Writes one layer's tar into a folder of its own, where nobody else writes. Nothing outside of it is
 * touched whatever the archive says: a name may not be absolute nor hold "..", no link is ever
 * followed, and what is neither file, folder nor link is refused. A symlink's text is data: it means
 * something only inside of a container. Set-uid bits, owners and times stay as they are; whiteouts
 * (".wh.…") become empty files for the merge.
 *
 * @throws UnusableImage naming the entry
 */
export async function unpackLayer(
  source: Readable,
  folder: string,
  budget: UnpackBudget,
): Promise<UnpackedLayer> {
  const layer = new LayerFolder(folder);
  for await (const entry of readTar(source)) await layer.add(entry, budget);
  await layer.finish();
  return { described: new Set(layer.times.keys()), withoutAttributes: layer.withoutAttributes };
}

class LayerFolder {
  readonly times = new Map<string, Date>();
  withoutAttributes = 0;
  readonly #root: string;
  /** Folders known to be real ones. */
  readonly #real = new Set<string>([""]);

  constructor(root: string) {
    this.#root = root;
  }

  async add(entry: TarEntry, budget: UnpackBudget): Promise<void> {
    const { header } = entry;
    const { size } = header;
    const refuse = refusal(header.name);
    if (!Number.isSafeInteger(size) || size < 0) throw refuse("has no valid size");
    budget.take(size);
    const pax = (header.pax ?? {}) as Record<string, string>;
    if (Object.keys(pax).some((key) => key.startsWith("GNU.sparse."))) {
      throw refuse("is a sparse file");
    }
    if (Object.keys(pax).some((key) => key.startsWith("SCHILY.xattr.")))
      this.withoutAttributes += 1;
    const parts = partsOf(header.name, refuse);
    const name = parts.at(-1) ?? "";
    const owned = ownerOf(header, pax, refuse);
    if (name.startsWith(".wh.")) {
      await this.#whiteout(parts, refuse);
      await drain(entry);
      return;
    }
    switch (header.type) {
      case "directory":
        await this.#folder(parts, owned, refuse);
        break;
      case "file":
      case "contiguous-file":
        await this.#file(parts, owned, entry, size, refuse);
        return;
      case "symlink":
        await this.#symlink(parts, owned, linkOf(header), refuse);
        break;
      case "link":
        await this.#hardLink(parts, owned, linkOf(header), refuse);
        break;
      default:
        throw refuse(`is a ${kindOf(header)}`);
    }
    await drain(entry);
  }

  /** Folders' times, once nothing is put into them any more. */
  async finish(): Promise<void> {
    for (const [path, mtime] of this.times) {
      const found = await this.#stat(path.split("/").filter((part) => part !== ""));
      if (found?.isDirectory() === true) await utimes(join(this.#root, path), mtime, mtime);
    }
  }

  async #folder(parts: string[], owned: Owned, refuse: Refusal): Promise<void> {
    const path = join(this.#root, ...parts);
    if (parts.length > 0) {
      await this.#enter(parts.slice(0, -1), refuse);
      const found = await this.#stat(parts);
      if (found?.isDirectory() !== true) {
        if (found !== undefined) await this.#clear(parts, found);
        await mkdir(path);
      }
      this.#real.add(parts.join("/"));
    }
    await lchown(path, owned.uid, owned.gid);
    await chmod(path, owned.mode);
    this.times.set(parts.join("/"), owned.mtime);
  }

  async #file(
    parts: string[],
    owned: Owned,
    content: AsyncIterable<Buffer>,
    size: number,
    refuse: Refusal,
  ): Promise<void> {
    await this.#place(parts, refuse);
    const file = await open(join(this.#root, ...parts), NEW_FILE, 0o600);
    try {
      let written = 0;
      for await (const chunk of content) {
        await file.writeFile(chunk);
        written += chunk.length;
      }
      if (written !== size) throw refuse("breaks off");
      await file.chown(owned.uid, owned.gid);
      // After the owner: changing that one clears set-uid bits.
      await file.chmod(owned.mode);
      await file.utimes(owned.mtime, owned.mtime);
    } finally {
      await file.close();
    }
  }

  async #symlink(parts: string[], owned: Owned, text: string, refuse: Refusal): Promise<void> {
    if (text === "" || !isPlain(text) || Buffer.byteLength(text) > MAX_LINK_BYTES) {
      throw refuse("is a symlink to nowhere");
    }
    await this.#place(parts, refuse);
    const path = join(this.#root, ...parts);
    await symlink(text, path);
    await lchown(path, owned.uid, owned.gid);
    await lutimes(path, owned.mtime, owned.mtime);
  }

  async #hardLink(parts: string[], owned: Owned, target: string, refuse: Refusal): Promise<void> {
    const from = partsOf(target, refuse);
    await this.#enter(from.slice(0, -1), refuse);
    const found = from.length === 0 ? undefined : await this.#stat(from);
    if (found === undefined) throw refuse("is a hard link to what its layer does not have");
    if (!found.isFile() && !found.isSymbolicLink()) throw refuse("is a hard link to a folder");
    // Onto itself: clearing the place would take the file away.
    if (from.join("/") === parts.join("/")) throw refuse("is a hard link to itself");
    if (from.join("/").startsWith(`${parts.join("/")}/`)) {
      throw refuse("is a hard link to what is in the folder that it replaces");
    }
    await this.#place(parts, refuse);
    const path = join(this.#root, ...parts);
    await link(join(this.#root, ...from), path);
    // The last entry of a file says how it is, as with Docker.
    await lchown(path, owned.uid, owned.gid);
    if (found.isFile()) await chmod(path, owned.mode);
    await lutimes(path, owned.mtime, owned.mtime);
  }

  async #whiteout(parts: string[], refuse: Refusal): Promise<void> {
    const name = parts.at(-1) ?? "";
    // Other names that begin so are aufs's own bookkeeping.
    if (name.startsWith(".wh..wh.") && name !== ".wh..wh..opq") return;
    if (["", ".", ".."].includes(name.slice(".wh.".length))) throw refuse("removes nothing");
    await this.#place(parts, refuse);
    await (await open(join(this.#root, ...parts), NEW_FILE, 0o600)).close();
  }

  /** Makes room for a file or link: its folder is there, and nothing of its name. */
  async #place(parts: string[], refuse: Refusal): Promise<void> {
    if (parts.length === 0) throw refuse("is no folder, but names the root");
    await this.#enter(parts.slice(0, -1), refuse);
    const found = await this.#stat(parts);
    if (found !== undefined) await this.#clear(parts, found);
  }

  /** Every part of the way is a real folder, made where there is none. */
  async #enter(parts: string[], refuse: Refusal): Promise<void> {
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const way = parts.slice(0, depth);
      const key = way.join("/");
      if (this.#real.has(key)) continue;
      const found = await this.#stat(way);
      if (found === undefined) await mkdir(join(this.#root, ...way), { mode: 0o755 });
      else if (!found.isDirectory()) throw refuse(`goes through ${JSON.stringify(key)}, no folder`);
      this.#real.add(key);
    }
  }

  async #stat(parts: string[]): Promise<Stats | undefined> {
    try {
      return await lstat(join(this.#root, ...parts));
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
      throw error;
    }
  }

  async #clear(parts: string[], found: Stats): Promise<void> {
    await rm(join(this.#root, ...parts), { recursive: true, force: true });
    if (!found.isDirectory()) return;
    const gone = parts.join("/");
    for (const known of [this.#real, this.times]) {
      for (const key of known.keys()) {
        if (key === gone || key.startsWith(`${gone}/`)) known.delete(key);
      }
    }
  }
}
