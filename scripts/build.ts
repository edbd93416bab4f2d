import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import type { Plugin } from "esbuild";

/** `npm run build`: everything in one file, dist/dockline.mjs, for Node 22.18 and newer. */
const root = join(import.meta.dirname, "..");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  version: string;
};
const program = (architecture: string): string =>
  readFileSync(join(root, "deploy", "pause", `pause-${architecture}`)).toString("base64");

/**
 * An ESM import of node:http reads each of its exports for the module's facade, WebSocket among them,
 * whose getter loads undici: 13 MiB of memory that nothing here uses. Asked for directly it stays away.
 */
const httpWithoutFacade: Plugin = {
  name: "node:http without undici",
  setup(on) {
    on.onResolve({ filter: /^(node:)?http$/ }, () => ({ path: "http", namespace: "builtin" }));
    on.onLoad({ filter: /./, namespace: "builtin" }, () => ({
      contents: 'module.exports = process.getBuiltinModule("node:http");',
    }));
  },
};

await build({
  entryPoints: [join(root, "src", "main.ts")],
  outfile: join(root, "dist", "dockline.mjs"),
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node22",
  minify: true,
  keepNames: true,
  legalComments: "none",
  define: {
    DOCKLINE_VERSION: JSON.stringify(version),
    DOCKLINE_PAUSE_PROGRAMS: JSON.stringify({ amd64: program("amd64"), arm64: program("arm64") }),
  },
  // dockerode can speak to engines over ssh, through native code; Dockline speaks to a local socket.
  alias: { ssh2: join(root, "scripts", "no-ssh2.ts") },
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url); import { fileURLToPath as __fileURLToPath } from "node:url"; const __filename = __fileURLToPath(import.meta.url); const __dirname = __fileURLToPath(new URL(".", import.meta.url));',
  },
  plugins: [httpWithoutFacade],
  logLevel: "warning",
});
