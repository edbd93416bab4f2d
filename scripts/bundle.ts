import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import type { BuildOptions, Metafile, Plugin } from "esbuild";

export const root = join(import.meta.dirname, "..");

/** The version in package.json. */
export function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    version: string;
  };
  return version;
}

const pauseProgram = (architecture: string): string =>
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

/** Of the threads, beside the bundle. */
export const workerName = "dockline-worker.cjs";

/** How both are made. */
const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "node22",
  minify: true,
  keepNames: true,
  legalComments: "none",
  plugins: [httpWithoutFacade],
  logLevel: "warning",
};

/**
 * The program in one file and its threads in another beside it, for Node 22.18 and newer. Returns what went into
 * the program, which has all that is in the threads.
 */
export async function writeBundle(outfile: string, version: string): Promise<Metafile> {
  const define = { DOCKLINE_VERSION: JSON.stringify(version) };
  await build({
    ...common,
    entryPoints: [join(root, "src", "worker.ts")],
    outfile: join(dirname(outfile), workerName),
    format: "cjs",
    define,
  });
  const { metafile } = await build({
    ...common,
    entryPoints: [join(root, "src", "main.ts")],
    outfile,
    format: "esm",
    metafile: true,
    define: {
      ...define,
      DOCKLINE_WORKER: JSON.stringify(`./${workerName}`),
      DOCKLINE_PAUSE_PROGRAMS: JSON.stringify({
        amd64: pauseProgram("amd64"),
        arm64: pauseProgram("arm64"),
      }),
    },
    // dockerode can speak to engines over ssh, through native code; Dockline speaks to a local socket.
    alias: { ssh2: join(root, "scripts", "no-ssh2.ts") },
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url); import { fileURLToPath as __fileURLToPath } from "node:url"; const __filename = __fileURLToPath(import.meta.url); const __dirname = __fileURLToPath(new URL(".", import.meta.url));',
    },
  });
  return metafile;
}
