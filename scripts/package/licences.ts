import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Metafile } from "esbuild";
import { root } from "../bundle.ts";

interface Manifest {
  name: string;
  version: string;
  license?: string;
}

/** Of the npm package that a file of the bundle is from; none for our own. */
export const packageFolder = (path: string): string | undefined =>
  /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];

/** One SPDX expression for all that is in the package. What Node is made of itself is in its own text. */
export function licenceExpression(bundle: Metafile): string {
  const ids = packagesIn(bundle).flatMap(({ name, license }) => {
    if (license === undefined) throw new Error(`${name} does not say its licence`);
    return license.replaceAll(/[()]/g, "").split(" AND ");
  });
  // Our own first; MIT is Node's, yyjson's and musl's.
  return [...new Set(["Apache-2.0", "MIT", ...ids.sort()])].join(" AND ");
}

/** The licences of the npm packages in the bundle and of what dockline-oci is linked with. */
export function thirdPartyLicences(bundle: Metafile): string {
  const texts = packagesIn(bundle).map(({ folder, name, version, license }) => {
    return section(`${name} ${version}`, licenceIn(join(root, folder)) ?? license);
  });
  return [
    ...texts,
    section("yyjson (in dockline-oci)", licenceIn(join(root, "deploy/oci/vendor/yyjson"))),
    section(
      "musl (in dockline-oci)",
      "MIT, copyright Rich Felker and others; https://musl.libc.org",
    ),
  ].join("\n");
}

function packagesIn({ inputs }: Metafile): (Manifest & { folder: string })[] {
  const folders = new Set(Object.keys(inputs).flatMap((path) => packageFolder(path) ?? []));
  return [...folders].sort().map((folder) => {
    const text = readFileSync(join(root, folder, "package.json"), "utf8");
    return { folder, ...(JSON.parse(text) as Manifest) };
  });
}

function licenceIn(folder: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  const name = readdirSync(folder)
    .sort()
    .find((file) => /^licen[cs]e(\.|$)/i.test(file));
  return name === undefined ? undefined : readFileSync(join(folder, name), "utf8");
}

function section(title: string, text: string | undefined): string {
  if (text === undefined) throw new Error(`no licence is found for ${title}`);
  return `${title}\n${"=".repeat(title.length)}\n\n${text.trim()}\n`;
}
