import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { readKernelFile } from "./kept-file.ts";

/**
 * Reads files that this kernel may or may not have: a name that is missing in a cgroup that is there
 * is not asked for again. An attempt that fails costs ten times what a reading does.
 */
export class KernelFiles {
  readonly #absent = new Set<string>();

  /** `path` is the file called `name`; names of different hierarchies differ. */
  read(path: string, name: string): string | undefined {
    if (this.#absent.has(name)) return undefined;
    const text = readKernelFile(path);
    if (text === undefined && existsSync(dirname(path))) this.#absent.add(name);
    return text;
  }
}
