import { renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../../src/sys/fs.ts";

// Swaps a folder for a symlink and back, beside whoever opens a log in it, until it is killed.
const [folder = "", outside = ""] = process.argv.slice(2);
const away = join(folder, "..", "away");
// The opening makes a missing folder, which can take the name before the symlink or the folder does.
const unlessTaken = (work: () => void): void => {
  try {
    work();
  } catch (error) {
    if (!isErrno(error, "EEXIST", "ENOTEMPTY", "ENOENT")) throw error;
  }
};
process.stdout.write("swapping\n");
for (;;) {
  unlessTaken(() => {
    renameSync(folder, away);
  });
  unlessTaken(() => {
    symlinkSync(outside, folder);
  });
  unlessTaken(() => {
    rmSync(folder, { recursive: true });
  });
  unlessTaken(() => {
    renameSync(away, folder);
  });
}
