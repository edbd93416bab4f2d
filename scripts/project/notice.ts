import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../bundle.ts";
import { npmPackages, otherParts } from "./third-parties.ts";

/**
 * The text of NOTICE. It names no versions of npm packages, so that an update which changes no
 * licence does not change it; the software bill of materials of a release has them.
 */
export function notice(): string {
  const others = otherParts().map(
    ({ name, version, licence, use, homepage = "" }) =>
      `${name} ${version}\n  ${licence}; ${use}\n  ${homepage}\n`,
  );
  const installed = npmPackages();
  const licences = [...new Set(installed.map(({ licence }) => licence))].sort();
  const packages = licences.map((licence) => {
    const names = new Set(installed.flatMap((one) => (one.licence === licence ? one.name : [])));
    return `${licence}\n${[...names].map((name) => `  ${name}\n`).join("")}`;
  });
  return [
    "Dockline\nCopyright 2026 The Dockline authors\n",
    "Licensed under the Apache License, Version 2.0; see LICENSE.\n",
    "Dockline includes or uses software by others, under these licences.\n",
    ...others,
    [
      "Node.js\n  MIT and others; in the packages, with its own LICENSE file beside it\n",
      "  https://nodejs.org\n",
    ].join(""),
    "npm packages that a checkout installs to run Dockline, by licence. The full texts are in each\npackage, and in third-party-licences.gz of the Debian packages for those that are bundled.\n",
    ...packages,
  ].join("\n");
}

if (import.meta.main) writeFileSync(join(root, "NOTICE"), notice());
