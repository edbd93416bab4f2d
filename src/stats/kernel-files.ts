import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { readKernelFile } from "./kept-file.ts";

/** So many cgroups at work must lack a file before the kernel counts as one without it. */
const LACKING = 3;

/**
 * Reads files that this kernel may or may not have: a name that it does not have is not asked for
 * again, for an attempt that fails costs ten times what a reading does. One cgroup proves nothing: its
 * files go before its folder when it ends, and a cgroup may lack a controller that others have.
 */
export class KernelFiles {
  readonly #present = new Set<string>();
  readonly #lacking = new Map<string, Set<string>>();

  /** `path` is the file called `name`; names of different hierarchies differ. */
  read(path: string, name: string): string | undefined {
    const lacking = this.#lacking.get(name);
    if (lacking !== undefined && lacking.size >= LACKING) return undefined;
    const text = readKernelFile(path);
    if (text !== undefined) {
      this.#present.add(name);
      this.#lacking.delete(name);
    } else if (!this.#present.has(name) && hasProcesses(dirname(path))) {
      this.#lacking.set(name, (lacking ?? new Set()).add(dirname(path)));
    }
    return text;
  }
}

/** A cgroup that is being removed has none. */
function hasProcesses(folder: string): boolean {
  try {
    return readFileSync(join(folder, "cgroup.procs"), "latin1") !== "";
  } catch {
    return false;
  }
}
