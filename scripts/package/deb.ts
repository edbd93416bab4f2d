import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runBeside } from "./commands.ts";
import { putIntoSystem } from "./contents.ts";
import type { Build } from "./contents.ts";
import { control, debianVersion } from "./control.ts";
import { inTree } from "./tree.ts";

const doc = "usr/share/doc/dockline";

/** The package for Debian and Ubuntu. Returns its path. Needs dpkg-deb. */
export async function buildDeb(build: Build): Promise<string> {
  const { version, architecture, out, fast } = build;
  const file = join(out, `dockline_${debianVersion(version)}_${architecture}.deb`);
  await inTree(async (tree) => {
    putIntoSystem(tree, build);
    tree.copy("deploy/debian/copyright", `${doc}/copyright`);
    tree.writeGzipped(`${doc}/node-LICENSE.gz`, readFileSync(join(build.node, "LICENSE"), "utf8"));
    tree.writeGzipped(`${doc}/third-party-licences.gz`, build.licences);
    const [sums, size] = [tree.md5sums(), tree.sizeKib()];
    tree.write("DEBIAN/control", control(version, architecture, size));
    tree.write("DEBIAN/md5sums", sums);
    tree.write("DEBIAN/conffiles", "/etc/dockline/config.yaml\n");
    for (const script of ["postinst", "prerm", "postrm"]) {
      tree.copy(`deploy/debian/${script}`, `DEBIAN/${script}`, 0o755);
    }
    tree.setTimes(build.epochSeconds);
    const compression = fast ? ["-Zgzip", "-z1"] : ["-Zxz"];
    await runBeside("dpkg-deb", "--root-owner-group", ...compression, "--build", tree.folder, file);
  });
  return file;
}
