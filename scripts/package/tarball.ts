import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../bundle.ts";
import { runBeside } from "./commands.ts";
import { putLicences, putPages, putProgram } from "./contents.ts";
import type { Build } from "./contents.ts";
import { inTree } from "./tree.ts";

/** For every other Linux with glibc: one folder with its own script to install it. Returns its path. Needs GNU tar, gzip. */
export async function buildTarball(build: Build): Promise<string> {
  const { version, architecture, out, fast } = build;
  const top = `dockline-${version}-linux-${architecture}`;
  const file = join(out, `${top}.tar.gz`);
  await inTree(async (tree) => {
    putProgram(tree, top, build);
    for (const script of ["install.sh", "uninstall.sh"]) {
      tree.copy(`deploy/tarball/${script}`, `${top}/${script}`, 0o755);
    }
    tree.copy("deploy/config.yaml", `${top}/etc/config.yaml`);
    for (const unit of ["dockline.service", "dockline.socket"]) {
      const text = readFileSync(join(root, "deploy", "systemd", unit), "utf8");
      tree.write(`${top}/systemd/${unit}`, forOpt(text));
    }
    putPages(tree, `${top}/share/man`, `${top}/share/doc`, build);
    putLicences(tree, `${top}/share/licenses`, build);
    tree.copy("deploy/selinux/dockline.cil", `${top}/share/selinux/dockline.cil`);
    tree.setTimes(build.epochSeconds);
    await runBeside(
      "tar",
      ...["--create", "--file", file, "--directory", tree.folder],
      ...["--format=gnu", "--sort=name", "--owner=root:0", "--group=root:0"],
      ...[`--mtime=@${build.epochSeconds}`, `--use-compress-program=gzip -n${fast ? 1 : 9}`],
      top,
    );
  });
  return file;
}

/** A unit with the place where install.sh puts the program. There are no manual pages on man's path. */
function forOpt(unit: string): string {
  return unit
    .replaceAll("/usr/bin/dockline", "/opt/dockline/bin/dockline")
    .replace(/^Documentation=.*$/m, "Documentation=file:///opt/dockline/share/doc/operations.md");
}
