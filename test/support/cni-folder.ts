import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * A pod's id of this process alone: what ends plugins that were left running finds them by it, and tests run in
 * several processes at once.
 */
export const ownPodId = `pod-${process.pid}`;

/** A configuration folder and a plugin folder of a test's own. */
export interface CniFolder {
  root: string;
  confDir: string;
  binDir: string;
  cacheDir: string;
  write(name: string, content: unknown): void;
  /** A plugin in sh; `body` finds the configuration in `$config`. VERSION is answered before it. */
  plugin(name: string, body: string, versions?: readonly string[]): void;
  remove(): void;
}

export function makeCniFolder(): CniFolder {
  const root = mkdtempSync(join(tmpdir(), "dockline-cni-"));
  const [confDir, binDir, cacheDir] = ["conf", "bin", "cache"].map((name) => join(root, name));
  if (confDir === undefined || binDir === undefined || cacheDir === undefined) throw new Error();
  for (const folder of [confDir, binDir]) mkdirSync(folder, { mode: 0o755 });
  return {
    root,
    confDir,
    binDir,
    cacheDir,
    write: (name, content) => {
      const text = typeof content === "string" ? content : JSON.stringify(content);
      writeFileSync(join(confDir, name), text);
    },
    plugin: (name, body, versions = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]) => {
      const answer = JSON.stringify({ cniVersion: "1.0.0", supportedVersions: versions });
      writeFileSync(
        join(binDir, name),
        [
          "#!/bin/sh",
          "config=$(cat)",
          `if [ "$CNI_COMMAND" = VERSION ]; then echo '${answer}'; exit 0; fi`,
          body,
          "",
        ].join("\n"),
        { mode: 0o755 },
      );
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}
