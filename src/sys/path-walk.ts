import { constants } from "node:os";
import { join } from "node:path";
import { isErrno } from "./fs.ts";
import { mayHang, type MountEntry, type MountTable } from "./mount-table.ts";
import type { Found, PathCalls } from "./path-calls.ts";

/** As the kernel's own. */
const MAX_LINKS = 40;

/** A link on the way leads to nothing. */
export class DanglingLink extends Error {
  override readonly name = "DanglingLink";
}

/** A path that must not be made is missing. */
export class AbsentPath extends Error {
  override readonly name = "AbsentPath";
}

export interface PathWalkOptions {
  readonly mounts: MountTable;
  readonly own: PathCalls;
  /** Calls on a file system that may hang, by its mount point. */
  remote(mountPoint: string): PathCalls;
  /** Whether a missing folder may be made; `asked` is the path of which it is a part. */
  mayMake(folder: string, asked: string): boolean;
}

interface Step {
  /** "" for the root. */
  readonly path: string;
  readonly mount: MountEntry;
}

/**
 * Links of /proc that lead into a process's root or folder; what lies behind them is an ordinary path.
 * The root of "self" is that of every process of the node; its folder is not.
 */
const INTO_PROCESS = /^(\d+\/(?:task\/\d+\/)?(?:root|cwd)|(?:thread-)?self\/root)\/+[^/]/;

/**
 * Resolves paths of the node name by name, so that each file system on the way is touched where it
 * may be touched. One walk serves all paths of a request and asks for each folder once.
 */
export class PathWalk {
  readonly #options: PathWalkOptions;
  readonly #seen = new Map<string, Promise<Found>>();

  constructor(options: PathWalkOptions) {
    this.#options = options;
  }

  /**
   * The path with its links resolved; what is missing is made as folders of mode 0755. From the
   * first name on that is on a proc file system the path stays as it is: links there have no text
   * that could be followed, or mean the process that follows them.
   *
   * @param path absolute
   * @throws Node's error of the call that failed, DanglingLink, AbsentPath, or NoAnswer
   */
  async resolve(path: string): Promise<string> {
    const root: Step = { path: "", mount: this.#options.mounts.root };
    const done: Step[] = [];
    let left = path.split("/");
    let links = 0;
    // Names that a link brought in, counted from the end of `left`: what they name must be there.
    let ownNames = left.length;
    let link: { path: string; target: string } | undefined;
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        done.pop();
        continue;
      }
      const at = done.at(-1) ?? root;
      if (at.mount.type === "proc") return await this.#intoProc(at, [name, ...left], path);
      const here = `${at.path}/${name}`;
      const mount = this.#options.mounts.enter(at.mount, here);
      const calls = this.#callsOn(mount);
      let found: Found;
      try {
        found = await this.#look(calls, here);
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
        if (link !== undefined && left.length >= ownNames) {
          throw new DanglingLink(
            `${quote(link.path)} is a link to ${quote(link.target)}, which does not exist`,
          );
        }
        found = await this.#make(calls, here, path);
      }
      if (typeof found === "object") {
        links += 1;
        if (links > MAX_LINKS) throw errno("ELOOP", constants.errno.ELOOP);
        // What follows the outermost link is the request's own and may be missing.
        if (link === undefined || left.length < ownNames) {
          ownNames = left.length;
          link = { path: here, target: found.link };
        }
        if (found.link.startsWith("/")) done.length = 0;
        left = [...found.link.split("/"), ...left];
        continue;
      }
      if (found === "other" && left.length > 0) {
        throw errno("ENOTDIR", constants.errno.ENOTDIR);
      }
      done.push({ path: here, mount });
    }
    return done.at(-1)?.path ?? "/";
  }

  async #intoProc(at: Step, names: string[], asked: string): Promise<string> {
    const rest = names.join("/");
    const path = `${at.path}/${rest}`;
    const [, into] = INTO_PROCESS.exec(rest) ?? [];
    if (into === undefined) return path;
    // That process's root or folder may be on any file system.
    const calls = this.#options.remote(join(at.path, into));
    if (this.#options.mayMake(path, asked)) {
      await calls.makeFolders(path);
      return path;
    }
    await calls.look(path).catch((error: unknown) => {
      throw isErrno(error, "ENOENT") ? absent(path) : error;
    });
    return path;
  }

  #callsOn(mount: MountEntry): PathCalls {
    return mayHang(mount) ? this.#options.remote(mount.point) : this.#options.own;
  }

  #look(calls: PathCalls, path: string): Promise<Found> {
    const known = this.#seen.get(path);
    if (known !== undefined) return known;
    const look = calls.look(path);
    this.#seen.set(path, look);
    return look;
  }

  async #make(calls: PathCalls, path: string, asked: string): Promise<Found> {
    if (!this.#options.mayMake(path, asked)) {
      throw absent(path);
    }
    await calls.makeFolder(path);
    this.#seen.delete(path);
    return await this.#look(calls, path);
  }
}

/** As Node throws them. */
const errno = (code: string, number: number): Error =>
  Object.assign(new Error(code), { code, errno: -number });

const absent = (path: string): AbsentPath => new AbsentPath(`${quote(path)} does not exist`);

const quote = (text: string): string => JSON.stringify(text);
