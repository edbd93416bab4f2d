import { isErrno, unlinkIfExists } from "./fs.ts";

/**
 * Removes small files of state where a removal must not fail with the disk: on one that became
 * read-only or broke, the file is owed, and goes with the next removal that works. What a restart
 * finds of it is old state of something that is gone, which every start puts right.
 */
export class OwedRemovals {
  readonly #owed = new Set<string>();

  async remove(path: string): Promise<void> {
    this.#owed.add(path);
    for (const each of this.#owed) {
      try {
        await unlinkIfExists(each);
        this.#owed.delete(each);
      } catch (error) {
        if (!isErrno(error, "EROFS", "EIO")) {
          this.#owed.delete(each);
          throw error;
        }
      }
    }
  }

  /** The path has been written again: nothing is owed there. */
  keep(path: string): void {
    this.#owed.delete(path);
  }
}
