import { access, constants, mkdir, readFile, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { isErrno, writeFileAtomic } from "../sys/fs.ts";
import { nativeCandidates } from "../sys/native-program.ts";

const installed = "/usr/local/lib/dockline/dockline-oci";

/**
 * Puts dockline-oci where Docker will find it for good, and returns its path. A running container
 * needs it until it is removed, so it must not lie in a checkout or be replaced in pieces.
 *
 * @param given use this one where it lies
 * @throws Error that says what to do
 */
export async function placeProgram(given: string | undefined): Promise<string> {
  if (given !== undefined) {
    try {
      await access(given, constants.X_OK);
    } catch {
      throw new Error(`${given} is no program that can be run`);
    }
    return given;
  }
  const source = candidates().find((path) => existsSync(path));
  if (source === undefined) {
    throw new Error(
      `dockline-oci is not beside this program (${candidates().join(", ")}): name it with --binary`,
    );
  }
  // The package's own stays where it is; the package manager replaces it as it should be done.
  if (source === packaged) return source;
  const wanted = await readFile(source);
  if (!wanted.equals(await readIfThere(installed))) {
    await mkdir(dirname(installed), { recursive: true, mode: 0o755 });
    await writeFileAtomic(installed, wanted, 0o755);
  }
  return installed;
}

export async function removeProgram(): Promise<void> {
  await rm(installed, { force: true });
}

const packaged = "/usr/lib/dockline/dockline-oci";

/** Of the package, beside the bundle, of the tarball, in a checkout. */
const candidates = (): string[] => [packaged, ...nativeCandidates("oci")];

async function readIfThere(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return Buffer.alloc(0);
    throw error;
  }
}
