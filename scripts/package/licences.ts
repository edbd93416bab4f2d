import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Metafile } from "esbuild";
import { root } from "../bundle.ts";

/** The licences of the npm packages in the bundle and of what dockline-oci is linked with. */
export function thirdPartyLicences({ inputs }: Metafile): string {
  const folders = new Set(
    Object.keys(inputs).flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []),
  );
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(join(root, folder, "package.json"), "utf8"),
    ) as { name: string; version: string; license?: string };
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
