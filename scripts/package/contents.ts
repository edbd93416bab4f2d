import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { root } from "../bundle.ts";
import { sha256 } from "./commands.ts";
import { configurationPage, programPage } from "./man-pages.ts";
import type { Architecture } from "./node-binary.ts";
import type { ShellFiles } from "./shell-files.ts";
import type { Tree } from "./tree.ts";

/** What every form of the package is made of. */
export interface Release {
  version: string;
  /** Of every file: seconds since 1970. */
  epochSeconds: number;
  /** Path of dockline.mjs. */
  bundle: string;
  /** Path of the file that its threads are started from. */
  worker: string;
  /** Texts of the licences of what is in the bundle and in the native programs. */
  licences: string;
  /** One SPDX expression for all of it. */
  licence: string;
  /** The bill of materials, CycloneDX as JSON. */
  materials: string;
  /** Of the pages, year-month-day. */
  date: string;
  /** What `dockline help` prints. */
  usage: string;
  /** Manual pages and completions, from the help of each command of the bundle. */
  shell: ShellFiles;
  /** Where finished packages go. */
  out: string;
  /** Compress little, for tests. */
  fast: boolean;
}

/** A release for one kind of machine. */
export interface Build extends Release {
  architecture: Architecture;
  /** Folder with bin/node and LICENSE. */
  node: string;
}

/** Files below deploy/ that operators copy, and their names in the package. */
const examples = [
  ["crictl.yaml", "crictl.yaml"],
  ["cni/10-dockline.conflist", "10-dockline.conflist"],
  ["examples/web.yaml", "web.yaml"],
  ["grafana/dockline.json", "dockline-dashboard.json"],
  ["prometheus/dockline.rules.yaml", "dockline.rules.yaml"],
  ["prometheus/authenticating-proxy.yaml", "authenticating-proxy.yaml"],
] as const;

/** The program, all of it in one folder: it finds its parts from where it lies. */
export function putProgram(tree: Tree, lib: string, build: Build): void {
  const { architecture } = build;
  tree.copy("bin/dockline", `${lib}/bin/dockline`, 0o755);
  tree.copy("bin/package.json", `${lib}/bin/package.json`);
  tree.copy(build.bundle, `${lib}/dist/dockline.mjs`);
  tree.copy(build.worker, `${lib}/dist/${basename(build.worker)}`);
  tree.copy(join(build.node, "bin", "node"), `${lib}/lib/node`, 0o755);
  tree.copy(nativeProgram("oci", `dockline-oci-${architecture}`), `${lib}/dockline-oci`, 0o755);
  tree.copy(nativeProgram("dial", `dockline-dial-${architecture}`), `${lib}/dockline-dial`, 0o755);
  // The pause program is in the bundle: it becomes an image, never a process of this machine's files.
  nativeProgram("pause", `pause-${architecture}`);
  tree.copy("deploy/package/before-removal", `${lib}/before-removal`, 0o755);
}

/** As deb and RPM lay the program out on a machine. */
export function putIntoSystem(tree: Tree, build: Build): void {
  tree.link("usr/bin/dockline", "../lib/dockline/bin/dockline");
  putProgram(tree, "usr/lib/dockline", build);
  for (const unit of ["dockline.service", "dockline.socket"]) {
    tree.copy(`deploy/systemd/${unit}`, `usr/lib/systemd/system/${unit}`);
  }
  tree.copy("deploy/config.yaml", "etc/dockline/config.yaml");
  putPages(tree, "usr/share/man", "usr/share/doc/dockline", build);
  for (const [path, text] of build.shell.completions) tree.write(path, text);
}

/** Manual pages, change log, documentation, examples, bill of materials. */
export function putPages(tree: Tree, man: string, doc: string, build: Build): void {
  const { version, date, usage, shell } = build;
  tree.writeGzipped(`${man}/man8/dockline.8.gz`, programPage(usage, version, date));
  tree.writeGzipped(`${man}/man5/dockline.yaml.5.gz`, configurationPage(version, date));
  for (const [name, text] of shell.pages) tree.writeGzipped(`${man}/man8/${name}`, text);
  tree.writeGzipped(`${doc}/changelog.gz`, readFileSync(join(root, "CHANGELOG.md"), "utf8"));
  tree.write(`${doc}/dockline.cdx.json`, build.materials);
  tree.copy("NOTICE", `${doc}/NOTICE`);
  for (const name of readdirSync(join(root, "docs")).filter((file) => file.endsWith(".md"))) {
    tree.copy(`docs/${name}`, `${doc}/${name}`);
  }
  for (const name of readdirSync(join(root, "docs", "pictures"))) {
    tree.copy(`docs/pictures/${name}`, `${doc}/pictures/${name}`);
  }
  for (const [example, name] of examples) {
    tree.copy(`deploy/${example}`, `${doc}/examples/${name}`);
  }
}

/** The licences as plain files; Debian has its own form of them. */
export function putLicences(tree: Tree, folder: string, { node, licences }: Build): void {
  tree.copy("LICENSE", `${folder}/LICENSE`);
  tree.copy(join(node, "LICENSE"), `${folder}/node-LICENSE`);
  tree.write(`${folder}/third-party-licences`, licences);
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
