import { readFileSync } from "node:fs";

declare const DOCKLINE_VERSION: string | undefined;

/** The one version string: logs, `--version`, metrics and packages show the same. */
export const version: string =
  // Put in place by the bundler; a checkout is told apart by its suffix.
  typeof DOCKLINE_VERSION === "string" ? DOCKLINE_VERSION : `${ofCheckout()}-dev`;

function ofCheckout(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
