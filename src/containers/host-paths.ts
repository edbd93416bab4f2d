import { readFile, stat } from "node:fs/promises";
import { quoted } from "../convert/field-checks.ts";
import { mountPoint } from "../convert/mount-points.ts";
import { CriError } from "../errors.ts";
import type { Device, Mount } from "../gen/runtime/v1/api_pb.js";
import { unlessAborted } from "../sys/abort.ts";
import { kernelWords } from "../sys/errno-words.ts";
import { isErrno } from "../sys/fs.ts";
import { MountTable } from "../sys/mount-table.ts";
import { ownPathCalls } from "../sys/path-calls.ts";
import { AbsentPath, DanglingLink, PathWalk } from "../sys/path-walk.ts";
import { CallFailure, NoAnswer, type RemotePaths } from "../sys/remote-paths.ts";

/** PATH_MAX of Linux, the trailing NUL included. */
const MAX_PATH_BYTES = 4096;
/** Longer paths are cut in errors. */
const SHOWN_CHARACTERS = 1024;
const STRICT = ", and --absent-mount-sources-to-reject keeps Dockline from making it";
const field = (index: number): string => `mounts[${index}].host_path`;
/** What this process lacks, not the path. */
const OUR_OWN = ["EMFILE", "ENFILE", "ENOMEM", "EAGAIN"];

export interface HostPathsOptions {
  /** For file systems that may hang. */
  remote: Pick<RemotePaths, "on">;
  /** Paths that are an error when they are missing (--absent-mount-sources-to-reject). */
  rejectAbsent: readonly string[];
}

/** The node's paths that requests name. A file system that hangs holds up the request that names it. */
export class HostPaths {
  readonly #options: HostPathsOptions;
  readonly #rejectAbsent: readonly string[];

  constructor(options: HostPathsOptions) {
    this.#options = options;
    // Compared without "//", "." and a slash at the end.
    this.#rejectAbsent = options.rejectAbsent.map(mountPoint);
  }

  /**
   * Mounts with their host paths resolved: Docker would bind a symlink's name, and whoever owns the
   * folder could turn it elsewhere until the start. A missing path is made as a folder, as the
   * kubelet leaves it to the runtime for a hostPath without a type. What is no absolute path is left
   * to the translation, which names the field.
   *
   * @throws FailedPrecondition with the path and the kernel's words
   */
  async ofMounts(mounts: readonly Mount[], signal: AbortSignal): Promise<Mount[]> {
    const isPath = ({ image, hostPath }: Mount): boolean =>
      image === undefined && hostPath.startsWith("/") && !hostPath.includes("\0");
    if (!mounts.some(isPath)) return [...mounts];
    const walk = await this.#walk((folder, asked) => {
      const refused = (path: string): boolean => this.#rejectAbsent.includes(path);
      return !refused(folder) && !refused(mountPoint(asked));
    });
    const resolved = Promise.all(
      mounts.map(async (mount, index) =>
        isPath(mount)
          ? { ...mount, hostPath: await resolve(walk, mount.hostPath, field(index), STRICT) }
          : mount,
      ),
    );
    return await unlessAborted(resolved, signal);
  }

  /**
   * The path with its links resolved.
   *
   * @throws FailedPrecondition that begins with `name`
   */
  async existing(path: string, name: string): Promise<string> {
    return await resolve(await this.#walk(() => false), path, name);
  }

  /**
   * Docker looks at devices only when it starts the container.
   *
   * @throws FailedPrecondition that names the device which is missing or is none
   */
  async requireDevices(devices: readonly Device[]): Promise<void> {
    for (const [index, { hostPath }] of devices.entries()) {
      // What is no absolute path is left to the translation.
      if (!hostPath.startsWith("/") || hostPath.includes("\0")) continue;
      const name = `devices[${index}].host_path`;
      const found = await stat(await this.existing(hostPath, name));
      // A folder stands for all devices in it.
      if (found.isCharacterDevice() || found.isBlockDevice() || found.isDirectory()) continue;
      throw new CriError("FailedPrecondition", `${name}: ${quoted(hostPath)} is no device`);
    }
  }

  /**
   * Returns when the file systems on the way to the path have just answered, whatever they said: what
   * opens it next keeps no thread forever.
   *
   * @throws FailedPrecondition that begins with `name` when one does not answer
   */
  async mustAnswer(path: string, name: string): Promise<void> {
    try {
      await this.existing(path, name);
    } catch (error) {
      if (error instanceof CriError && error.cause instanceof NoAnswer) throw error;
    }
  }

  async #walk(mayMake: (folder: string, asked: string) => boolean): Promise<PathWalk> {
    return new PathWalk({
      mounts: new MountTable(await readFile("/proc/self/mountinfo", "utf8")),
      own: ownPathCalls,
      remote: (mountPoint) => this.#options.remote.on(mountPoint),
      mayMake,
    });
  }
}

async function resolve(
  walk: PathWalk,
  path: string,
  name: string,
  whyAbsent = "",
): Promise<string> {
  try {
    if (Buffer.byteLength(path) >= MAX_PATH_BYTES) {
      throw Object.assign(new Error("ENAMETOOLONG"), { errno: -36 });
    }
    return await walk.resolve(path);
  } catch (error) {
    const why = error instanceof AbsentPath ? error.message + whyAbsent : reason(error);
    if (why === undefined || isErrno(error, ...OUR_OWN)) throw error;
    const shown = path.length > SHOWN_CHARACTERS ? `${path.slice(0, SHOWN_CHARACTERS)}…` : path;
    throw new CriError("FailedPrecondition", `${name}: ${JSON.stringify(shown)}: ${why}`, {
      cause: error,
    });
  }
}

function reason(error: unknown): string | undefined {
  if (error instanceof DanglingLink) return error.message;
  if (error instanceof NoAnswer || error instanceof CallFailure) return error.message;
  return kernelWords(error);
}
