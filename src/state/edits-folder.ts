import { chmod, mkdir, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { unlinkIfExists, writeFileAtomic } from "../sys/fs.ts";

const containerId = /^[0-9a-f]{64}$/;

/**
 * `<run-dir>/oci`: one file for each container that dockline-oci starts, which says how its OCI spec
 * is to be edited, and what that program keeps beside it. A reboot may forget it all: edits are
 * written before each start.
 */
export class EditsFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async open(runDir: string): Promise<EditsFolder> {
    const path = join(runDir, "oci");
    await mkdir(path, { recursive: true, mode: 0o711 });
    // Root of a pod's user namespace passes here on the way to its file system.
    for (const folder of [dirname(path), path]) {
      const { mode } = await stat(folder);
      const wanted = folder === path ? 0o711 : (mode & 0o7755) | 0o111;
      if ((mode & 0o7777) !== wanted) await chmod(folder, wanted);
    }
    // Of writes that a kill interrupted.
    for (const name of await readdir(path)) {
      // One that cannot be removed is in nobody's way.
      if (name.endsWith(".tmp")) await unlinkIfExists(join(path, name)).catch(() => undefined);
    }
    return new EditsFolder(path);
  }

  /** In one step; a start that is under way reads the old edits or the new ones. */
  async write(edits: { readonly containerId: string }): Promise<void> {
    await writeFileAtomic(
      join(this.path, `${edits.containerId}.json`),
      JSON.stringify(edits),
      0o600,
    );
  }

  async remove(id: string): Promise<void> {
    await unlinkIfExists(join(this.path, `${id}.json`));
  }

  /** Ids with edits, and those with a folder that dockline-oci removes itself unless it is killed. */
  async list(): Promise<{ edits: string[]; folders: string[] }> {
    const entries = await readdir(this.path, { withFileTypes: true });
    const ids = (found: readonly { name: string }[], suffix: string): string[] =>
      found
        .filter(({ name }) => name.endsWith(suffix))
        .map(({ name }) => name.slice(0, name.length - suffix.length))
        .filter((id) => containerId.test(id));
    return {
      edits: ids(entries, ".json"),
      folders: ids(
        entries.filter((entry) => entry.isDirectory()),
        "",
      ),
    };
  }
}
