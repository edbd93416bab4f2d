import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { root, workerName, writeBundle } from "./bundle.ts";
import { run, sha256 } from "./package/commands.ts";
import type { Build, Release } from "./package/contents.ts";
import { buildDeb } from "./package/deb.ts";
import { licenceExpression, thirdPartyLicences } from "./package/licences.ts";
import { billOfMaterials } from "./package/materials.ts";
import { nodeFor } from "./package/node-binary.ts";
import type { Architecture } from "./package/node-binary.ts";
import { buildRpm, buildSelinuxRpm } from "./package/rpm.ts";
import { shellFiles } from "./package/shell-files.ts";
import { buildTarball } from "./package/tarball.ts";
import { checkoutVersion } from "./project/build-version.ts";

/**
 * `npm run package`: for amd64 and arm64 a .deb, an RPM and a tarball, each with a Node of its own; the
 * RPM of the SELinux rules, the bundle, its bill of materials (CycloneDX) and SHA256SUMS, all in dist/.
 * The same commit gives the same bytes: every time is SOURCE_DATE_EPOCH, or the commit's.
 *
 *   --form FORM      deb (needs dpkg-deb), rpm (needs rpmbuild) or tarball alone; may be repeated
 *   --arch ARCH      amd64 or arm64 alone
 *   --version V      another version than that of this commit (project/build-version.ts)
 *   --out FOLDER     another folder than dist
 *   --fast           compresses little, for tests
 */
const { values } = parseArgs({
  options: {
    form: { type: "string", multiple: true },
    arch: { type: "string" },
    version: { type: "string" },
    out: { type: "string", default: join(root, "dist") },
    fast: { type: "boolean", default: false },
  },
});
const { fast } = values;
const version = values.version ?? checkoutVersion();
// Others are run in the checkout.
const out = resolve(values.out);

const builders = { deb: buildDeb, rpm: buildRpm, tarball: buildTarball };
type Form = keyof typeof builders;
const isForm = (form: string): form is Form => Object.hasOwn(builders, form);
const forms = (values.form ?? Object.keys(builders)).map((form) => {
  if (isForm(form)) return form;
  throw new Error(`--form ${form}: want one of ${Object.keys(builders).join(", ")}`);
});
if (values.arch !== undefined && values.arch !== "amd64" && values.arch !== "arm64") {
  throw new Error(`--arch ${values.arch}: want amd64 or arm64`);
}
const architectures: Architecture[] =
  values.arch === undefined ? ["amd64", "arm64"] : [values.arch];
// dpkg-deb and rpmbuild read it, too. Where a person works, modes and texts may be others: not in what these programs make.
process.env["SOURCE_DATE_EPOCH"] ??= run("git", "log", "-1", "--format=%ct");
Object.assign(process.env, { LC_ALL: "C", TZ: "UTC" });
process.umask(0o022);
const epochSeconds = Number(process.env["SOURCE_DATE_EPOCH"]);
if (!Number.isInteger(epochSeconds)) throw new Error("SOURCE_DATE_EPOCH is no whole number");

mkdirSync(out, { recursive: true });
const bundle = join(out, "dockline.mjs");
const worker = join(out, workerName);
const inside = await writeBundle(bundle, version);
const materials = billOfMaterials(inside, version, epochSeconds);
const materialsFile = join(out, `dockline-${version}.cdx.json`);
writeFileSync(materialsFile, materials);
const date = new Date(epochSeconds * 1000).toISOString().slice(0, 10);
const printed = (...words: string[]): string => run(process.execPath, bundle, ...words);
const release: Release = {
  ...{ version, epochSeconds, date, bundle, worker, materials, out, fast },
  usage: printed("help"),
  shell: shellFiles((command) => printed(command, "--help"), version, date),
  licences: thirdPartyLicences(inside),
  licence: licenceExpression(inside),
};
const made = [bundle, worker, materialsFile];
for (const architecture of architectures) {
  const build: Build = { ...release, architecture, node: await nodeFor(architecture) };
  made.push(...(await Promise.all(forms.map((form) => builders[form](build)))));
}
if (forms.includes("rpm")) made.push(await buildSelinuxRpm(release));
for (const file of made) process.stdout.write(`${file}\n`);
writeFileSync(
  join(out, "SHA256SUMS"),
  made.map((path) => `${sha256(path)}  ${path.slice(path.lastIndexOf("/") + 1)}\n`).join(""),
);
