import { watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";

/**
 * Tells that something happened to a file or its name. A watch on the file itself would stay with
 * the inode that rotation renames away, so its folder is watched; an event says no more than "look
 * again". All watches of the process share one inotify instance.
 */
export class FolderWatch {
  readonly #folder: string;
  readonly #name: string;
  readonly #onEvent: () => void;
  #watcher: FSWatcher | undefined;

  constructor(path: string, onEvent: () => void) {
    this.#folder = dirname(path);
    this.#name = basename(path);
    this.#onEvent = onEvent;
  }

  get isOn(): boolean {
    return this.#watcher !== undefined;
  }

  /** False when it can't be watched: the folder is not there, or the system's watches are used up. */
  turnOn(): boolean {
    if (this.#watcher !== undefined) return true;
    try {
      const watcher = watch(this.#folder, { persistent: false }, (_kind, name) => {
        if (name === null || name === this.#name) this.#onEvent();
      });
      watcher.on("error", () => {
        this.turnOff();
      });
      this.#watcher = watcher;
      return true;
    } catch {
      return false;
    }
  }

  turnOff(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
