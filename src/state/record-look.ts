import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorText } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";
import { parseStored } from "./sandbox-records.ts";
import type { SandboxRecord } from "./sandbox-records.ts";

export interface RecordLook {
  records: readonly SandboxRecord[];
  /** Files that are no records to us, and why. */
  unusable: readonly { path: string; trouble: string }[];
}

/**
 * The sandbox records as they lie there, for those who only look: nothing is made, moved or removed. Dockline may be
 * writing them at the same time.
 *
 * @throws Error of the file system, but not for a folder that is not there
 */
export async function lookAtRecords(stateDir: string): Promise<RecordLook> {
  const folder = join(stateDir, "sandboxes");
  const records: SandboxRecord[] = [];
  const unusable: { path: string; trouble: string }[] = [];
  for (const file of await namesIn(folder)) {
    const path = join(folder, file);
    if (file.endsWith(".corrupt")) unusable.push({ path, trouble: "damaged, put aside" });
    if (file.startsWith(".") || !file.endsWith(".json")) continue;
    try {
      const found = parseStored(await readFile(path, "utf8"));
      if (found === "newer") unusable.push({ path, trouble: "of a newer version" });
      else if (found === undefined) unusable.push({ path, trouble: "damaged" });
      else records.push(found);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) unusable.push({ path, trouble: errorText(error) });
    }
  }
  return { records, unusable };
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
