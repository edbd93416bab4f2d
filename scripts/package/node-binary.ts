import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, createReadStream, existsSync, mkdirSync, readFileSync } from "node:fs";
import { createWriteStream, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { root } from "../bundle.ts";

export type Architecture = "amd64" | "arm64";

interface Locked {
  version: string;
  integrity: string;
}

/**
 * Folder with `bin/node` and `LICENSE` of the Node that the lockfile names for an architecture: the
 * one that npm installed here, else fetched once by npm, compared with the lockfile and kept in the
 * user's cache.
 */
export async function nodeFor(architecture: Architecture): Promise<string> {
  const name = `node-linux-${architecture === "amd64" ? "x64" : "arm64"}`;
  const installed = join(root, "node_modules", name);
  const locked = lockedPackage(name);
  if (versionIn(installed) === locked.version) return installed;
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const folder = join(cache, "dockline-package", `${name}-${locked.version}`);
  if (existsSync(join(folder, "bin", "node"))) return folder;
  const tarball = fetchPackage(name, locked, join(cache, "dockline-package"));
  await unpack(tarball, folder);
  rmSync(tarball);
  return folder;
}

/** What the lockfile says of a package, by its path below node_modules. */
export function lockedPackage(name: string): Locked {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, Locked | undefined>;
  };
  const locked = lock.packages[`node_modules/${name}`];
  if (locked === undefined) throw new Error(`package-lock.json has no ${name}`);
  return locked;
}

function versionIn(folder: string): string | undefined {
  if (!existsSync(join(folder, "bin", "node"))) return undefined;
  const text = readFileSync(join(folder, "package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

function fetchPackage(name: string, { version, integrity }: Locked, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const { status, stderr } = spawnSync(
    "npm",
    ["pack", "--silent", "--pack-destination", folder, `${name}@${version}`],
    { encoding: "utf8", cwd: root },
  );
  if (status !== 0) throw new Error(`npm pack ${name}@${version} failed: ${stderr.trim()}`);
  const tarball = join(folder, `${name}-${version}.tgz`);
  const found = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
  if (found === integrity) return tarball;
  rmSync(tarball);
  throw new Error(`${name}@${version} is ${found}, the lockfile says ${integrity}`);
}

/** Only what the package takes; the folder appears when it is whole. */
async function unpack(tarball: string, folder: string): Promise<void> {
  const part = `${folder}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(join(part, "bin"), { recursive: true });
  const entries = createReadStream(tarball).pipe(createGunzip()).pipe(extract());
  for await (const entry of entries) {
    const name = entry.header.name.replace(/^package\//, "");
    if (name === "bin/node" || name === "LICENSE") {
      await pipeline(entry, createWriteStream(join(part, name)));
    } else entry.resume();
  }
  chmodSync(join(part, "bin", "node"), 0o755);
  renameSync(part, folder);
}
