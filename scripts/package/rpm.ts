import { join } from "node:path";
import { root } from "../bundle.ts";
import { runBeside } from "./commands.ts";
import { putIntoSystem, putLicences } from "./contents.ts";
import type { Build, Release } from "./contents.ts";
import { rpmVersion } from "./control.ts";
import { inTree } from "./tree.ts";
import type { Tree } from "./tree.ts";

const machines = { amd64: "x86_64", arm64: "aarch64" } as const;

/** The package for Rocky, Alma, RHEL, Fedora and openSUSE. Returns its path. Needs rpmbuild. */
export async function buildRpm(build: Build): Promise<string> {
  const machine = machines[build.architecture];
  await inTree(async (tree) => {
    putIntoSystem(tree, build);
    putLicences(tree, "usr/share/licenses/dockline", build);
    await rpmbuild("dockline", machine, tree, build);
  });
  return fileOf("dockline", machine, build);
}

/** The SELinux rules, the same for every machine, in a package of their own as Fedora's guidelines want it. */
export async function buildSelinuxRpm(release: Release): Promise<string> {
  await inTree(async (tree) => {
    tree.copy("LICENSE", "usr/share/licenses/dockline-selinux/LICENSE");
    tree.copy("deploy/selinux/dockline.cil", "usr/share/selinux/packages/targeted/dockline.cil");
    await rpmbuild("dockline-selinux", "noarch", tree, release);
  });
  return fileOf("dockline-selinux", "noarch", release);
}

const fileOf = (name: string, machine: string, { version, out }: Release): string =>
  join(out, `${name}-${rpmVersion(version)}-1.${machine}.rpm`);

async function rpmbuild(name: string, machine: string, tree: Tree, release: Release) {
  tree.setTimes(release.epochSeconds);
  const macros: Record<string, string> = {
    tree: tree.folder,
    dockline_version: rpmVersion(release.version),
    dockline_licence: release.licence,
    _topdir: join(tree.folder, "..", "rpm"),
    _rpmdir: release.out,
    _rpmfilename: "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    // Nothing of this machine or of the hour gets into the package.
    _buildhost: "dockline",
    use_source_date_epoch_as_buildtime: "1",
    clamp_mtime_to_source_date_epoch: "1",
    source_date_epoch_from_changelog: "0",
    // The oldest rpm of the family reads xz. Its own threads would change the bytes with the machine.
    _binary_payload: release.fast ? "w1.gzdio" : "w6.xzdio",
    // SHA-256: rpm's old MD5 is refused in FIPS mode.
    _binary_filedigest_algorithm: "8",
    // The programs are finished: nothing is stripped, and nothing but the package's own files is in it.
    debug_package: "%{nil}",
    _build_id_links: "none",
    __os_install_post: "%{nil}",
  };
  const defines = Object.entries(macros).flatMap(([key, value]) => ["--define", `${key} ${value}`]);
  const spec = join(root, "deploy", "rpm", `${name}.spec`);
  await runBeside("rpmbuild", "-bb", "--target", `${machine}-linux`, ...defines, spec);
}
