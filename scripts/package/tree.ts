import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from "node:fs";
import { lstatSync, lutimesSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { root } from "../bundle.ts";

/** Gives a tree that is there until the promise ends; what a builder needs besides may lie next to it. */
export async function inTree(fill: (tree: Tree) => Promise<void>): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "dockline-package-"));
  try {
    await fill(new Tree(join(work, "tree")));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** A folder that becomes a package: files with plain modes, whatever the umask and the checkout say. */
export class Tree {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    this.#makeFolder(folder);
  }

  /** From the checkout, or from an absolute path. */
  copy(source: string, path: string, mode = 0o644): void {
    const target = this.#target(path);
    cpSync(join(source.startsWith("/") ? "" : root, source), target);
    chmodSync(target, mode);
  }

  write(path: string, text: string, mode = 0o644): void {
    const target = this.#target(path);
    writeFileSync(target, text);
    chmodSync(target, mode);
  }

  /** As Debian wants manual pages and change logs. By gzip: Node's own zlib packs differently from processor to processor. */
  writeGzipped(path: string, text: string): void {
    const target = this.#target(path);
    const { status, stdout, error } = spawnSync("gzip", ["-9n"], { input: text });
    if (status !== 0) throw new Error("gzip failed", { cause: error });
    writeFileSync(target, stdout);
    chmodSync(target, 0o644);
  }

  link(path: string, to: string): void {
    symlinkSync(to, this.#target(path));
  }

  /** Paths of all files and links, sorted, without the folder itself. */
  files(): string[] {
    return readdirSync(this.folder, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(this.folder, join(entry.parentPath, entry.name)))
      .sort();
  }

  sizeKib(): number {
    const bytes = this.files().map((path) => lstatSync(join(this.folder, path)).size);
    return bytes.reduce((sum, size) => sum + Math.ceil(size / 1024), 0);
  }

  /** DEBIAN/md5sums, which dpkg --verify compares with. */
  md5sums(): string {
    return this.files()
      .filter((path) => lstatSync(join(this.folder, path)).isFile())
      .map((path) => {
        const hash = createHash("md5").update(readFileSync(join(this.folder, path)));
        return `${hash.digest("hex")}  ${path}\n`;
      })
      .join("");
  }

  /** One time on everything: the same input gives the same package. */
  setTimes(epochSeconds: number): void {
    const all = readdirSync(this.folder, { recursive: true, encoding: "utf8" });
    for (const path of [...all, "."]) {
      lutimesSync(join(this.folder, path), epochSeconds, epochSeconds);
    }
  }

  #target(path: string): string {
    const target = join(this.folder, path);
    this.#makeFolder(dirname(target));
    return target;
  }

  #makeFolder(folder: string): void {
    if (folder !== this.folder && folder.startsWith(this.folder)) this.#makeFolder(dirname(folder));
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o755);
  }
}
