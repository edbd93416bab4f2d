import { join } from "node:path";
import { CriError } from "../errors.ts";
import { mayHang, MountTable } from "../sys/mount-table.ts";
import type { ResumedLog } from "./container-logs.ts";

/** A file on which a thread hangs, and the containers that wait until it goes on. */
export class HungPath {
  /** For people: the mount point of a file system that may hang, or the path on a local disk. */
  readonly place: string;
  readonly since = new Date();
  /** Ids of the containers whose files nobody else may touch meanwhile. */
  readonly leftOut = new Set<string>();
  /** Settles when the thread has ended. */
  readonly over: Promise<void>;
  readonly #covers: (path: string) => boolean;

  /** @param mountinfo text of /proc/self/mountinfo (proc(5)) */
  constructor(path: string, mountinfo: string, known: Iterable<ResumedLog>, over: Promise<void>) {
    this.over = over;
    const mounts = new MountTable(mountinfo);
    const mount = mounts.mountOf(path);
    // A file system with a server hangs as a whole; of a local disk that is slow, only that file is known.
    const isWhole = mayHang(mount);
    this.place = isWhole ? mount.point : path;
    this.#covers = (other) => (isWhole ? mounts.mountOf(other).id === mount.id : path === other);
    for (const target of known) if (this.concerns(target)) this.leftOut.add(target.containerId);
  }

  /** Whether files of the container are where the thread hangs. */
  concerns({ sourcePath, logDirectory, logPath }: ResumedLog): boolean {
    return this.#covers(sourcePath) || this.#covers(join(logDirectory, logPath));
  }
}

/** What a call is answered that would wait; undefined: it is not known for which file, or the threads are used up. */
export function hangs(containerId: string, hung: HungPath | undefined): CriError {
  const what =
    hung === undefined
      ? "a file system of container logs has not answered"
      : `its file system at ${hung.place} has not answered since ${hung.since.toISOString()}`;
  return new CriError("Unavailable", `log of container ${containerId}: ${what}`);
}
