import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

/** The package that is there before the upgrade and after going back, and the one between. */
export type Release = "old" | "new";

/** The files of a package below a folder of a test, exchanged as dpkg does it: one by one, while they are in use. */
export interface InstalledPackage {
  /** Where a file of the package is, by its path on a node. */
  path(name: string): string;
  install(release: Release): void;
  /** As its control file has it. */
  version(release: Release): string;
  /** A folder beside it that also the root of a user namespace can reach. */
  folder(name: string): string;
  remove(): void;
}

/** What scripts/test-upgrade.sh has built; its names are in the environment. */
function packageOf(release: Release): string {
  const path = process.env[`DOCKLINE_TEST_${release.toUpperCase()}_PACKAGE`];
  if (path === undefined) throw new Error("started by scripts/test-upgrade.sh, which builds them");
  return path;
}

export function unpackPackages(): InstalledPackage {
  const base = mkdtempSync(join(tmpdir(), "dlup-"));
  chmodSync(base, 0o711);
  const root = join(base, "root");
  for (const release of ["old", "new"] as const) {
    execFileSync("dpkg-deb", ["-x", packageOf(release), join(base, release)]);
  }
  const filesOf = (release: Release): string[] =>
    readdirSync(join(base, release), { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(join(base, release), join(entry.parentPath, entry.name)));
  return {
    path: (name) => join(root, name),
    folder: (name) => {
      mkdirSync(join(base, name), { recursive: true });
      return join(base, name);
    },
    install: (release) => {
      const files = filesOf(release);
      for (const file of files) {
        mkdirSync(join(root, file, ".."), { recursive: true });
        // A name of its own for the same file: a running program keeps the one that it has.
        linkSync(join(base, release, file), join(root, `${file}.dpkg-new`));
        renameSync(join(root, `${file}.dpkg-new`), join(root, file));
      }
      const others = filesOf(release === "old" ? "new" : "old");
      for (const file of others.filter((name) => !files.includes(name))) {
        if (existsSync(join(root, file))) rmSync(join(root, file));
      }
    },
    version: (release) =>
      execFileSync("dpkg-deb", ["-f", packageOf(release), "Version"], { encoding: "utf8" }).trim(),
    remove: () => rmSync(base, { recursive: true, force: true }),
  };
}
