import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ownVersion, root, writeBundle } from "./bundle.ts";
import { control, debianVersion } from "./package/control.ts";
import { thirdPartyLicences } from "./package/licences.ts";
import { configurationPage, programPage } from "./package/man-pages.ts";
import { nodeFor } from "./package/node-binary.ts";
import type { Architecture } from "./package/node-binary.ts";
import { Tree } from "./package/tree.ts";

/**
 * `npm run package`: dist/dockline.mjs, dist/dockline_VERSION_amd64.deb and …_arm64.deb with a Node of
 * their own, dist/SHA256SUMS. The same commit gives the same bytes: every time is SOURCE_DATE_EPOCH,
 * or the commit's. Needs dpkg-deb.
 *
 *   --arch ARCH      amd64 or arm64 alone
 *   --version V      another version than that of package.json
 *   --out FOLDER     another folder than dist
 *   --fast           compresses little, for tests
 */
const { values } = parseArgs({
  options: {
    arch: { type: "string" },
    version: { type: "string", default: ownVersion() },
    out: { type: "string", default: join(root, "dist") },
    fast: { type: "boolean", default: false },
  },
});
const { version, out } = values;
if (values.arch !== undefined && values.arch !== "amd64" && values.arch !== "arm64") {
  throw new Error(`--arch ${values.arch}: want amd64 or arm64`);
}
const architectures: Architecture[] =
  values.arch === undefined ? ["amd64", "arm64"] : [values.arch];
// dpkg-deb reads it, too.
process.env["SOURCE_DATE_EPOCH"] ??= run("git", "log", "-1", "--format=%ct");
const epoch = Number(process.env["SOURCE_DATE_EPOCH"]);
if (!Number.isInteger(epoch)) throw new Error("SOURCE_DATE_EPOCH is no whole number");
const lib = "usr/lib/dockline";
const doc = "usr/share/doc/dockline";

mkdirSync(out, { recursive: true });
const bundle = join(out, "dockline.mjs");
const licences = thirdPartyLicences(await writeBundle(bundle, version));
const usage = run(process.execPath, bundle, "help");
const made = [bundle];
for (const architecture of architectures) made.push(await packageFor(architecture));
writeFileSync(
  join(out, "SHA256SUMS"),
  made.map((path) => `${sha256(path)}  ${path.slice(path.lastIndexOf("/") + 1)}\n`).join(""),
);

async function packageFor(architecture: Architecture): Promise<string> {
  const node = await nodeFor(architecture);
  const work = mkdtempSync(join(tmpdir(), "dockline-package-"));
  try {
    const tree = new Tree(join(work, "tree"));
    fill(tree, architecture, node);
    const [sums, size] = [tree.md5sums(), tree.sizeKib()];
    tree.write("DEBIAN/control", control(version, architecture, size));
    tree.write("DEBIAN/md5sums", sums);
    tree.write("DEBIAN/conffiles", "/etc/dockline/config.yaml\n");
    for (const script of ["postinst", "prerm", "postrm"]) {
      tree.copy(`deploy/debian/${script}`, `DEBIAN/${script}`, 0o755);
    }
    tree.setTimes(epoch);
    const file = join(out, `dockline_${debianVersion(version)}_${architecture}.deb`);
    const compression = values.fast ? ["-Zgzip", "-z1"] : ["-Zxz"];
    run("dpkg-deb", "--root-owner-group", ...compression, "--build", tree.folder, file);
    process.stdout.write(`${file}\n`);
    return file;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function fill(tree: Tree, architecture: Architecture, node: string): void {
  const date = new Date(epoch * 1000).toISOString().slice(0, 10);
  tree.link("usr/bin/dockline", "../lib/dockline/bin/dockline");
  tree.copy("bin/dockline", `${lib}/bin/dockline`, 0o755);
  tree.copy("bin/package.json", `${lib}/bin/package.json`);
  tree.copy(bundle, `${lib}/dist/dockline.mjs`);
  tree.copy(join(node, "bin", "node"), `${lib}/lib/node`, 0o755);
  tree.copy(nativeProgram("oci", `dockline-oci-${architecture}`), `${lib}/dockline-oci`, 0o755);
  tree.copy(nativeProgram("dial", `dockline-dial-${architecture}`), `${lib}/dockline-dial`, 0o755);
  // The pause program is in the bundle: it becomes an image, never a process of this machine's files.
  nativeProgram("pause", `pause-${architecture}`);
  for (const unit of ["dockline.service", "dockline.socket"]) {
    tree.copy(`deploy/systemd/${unit}`, `usr/lib/systemd/system/${unit}`);
  }
  tree.copy("deploy/config.yaml", "etc/dockline/config.yaml");
  tree.writeGzipped("usr/share/man/man8/dockline.8.gz", programPage(usage, version, date));
  tree.writeGzipped("usr/share/man/man5/dockline.yaml.5.gz", configurationPage(version, date));
  tree.copy("deploy/debian/copyright", `${doc}/copyright`);
  tree.copy("NOTICE", `${doc}/NOTICE`);
  tree.writeGzipped(`${doc}/changelog.gz`, readFileSync(join(root, "CHANGELOG.md"), "utf8"));
  tree.writeGzipped(`${doc}/node-LICENSE.gz`, readFileSync(join(node, "LICENSE"), "utf8"));
  tree.writeGzipped(`${doc}/third-party-licences.gz`, licences);
  for (const name of readdirSync(join(root, "docs")).filter((file) => file.endsWith(".md"))) {
    tree.copy(`docs/${name}`, `${doc}/${name}`);
  }
  for (const example of ["crictl.yaml", "cni/10-dockline.conflist", "examples/web.yaml"]) {
    const name = example.slice(example.lastIndexOf("/") + 1);
    tree.copy(`deploy/${example}`, `${doc}/examples/${name}`);
  }
}

/** Path of a committed program, compared with what deploy's own build wrote beside it. */
function nativeProgram(folder: string, name: string): string {
  const path = join(root, "deploy", folder, name);
  const sums = readFileSync(join(root, "deploy", folder, "SHA256SUMS"), "utf8");
  if (!sums.includes(`${sha256(path)}  ${name}\n`)) {
    throw new Error(`${path} is not what deploy/${folder}/build made: run it`);
  }
  return path;
}

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    cwd: root,
  });
  if (error !== undefined) throw new Error(`${program}: ${error.message}`);
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr.trim()}`);
  return stdout.trim();
}
