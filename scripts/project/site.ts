import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../bundle.ts";
import { configuration, theme } from "./site/configuration.ts";
import { copyMermaid, sitePages, writePages } from "./site/pages.ts";

/**
 * `npm run docs:site`: the pages as a static site in dist/site. The generator is no package of the project's own:
 * docs/site/package.json names it, and it is installed below the user's cache folder.
 *
 *   --out FOLDER     another folder than dist/site
 *   --base PATH      where the site is served, with slashes at both ends ("/" by default)
 *   --source URL     address of the repository's files, for links that leave the pages; without it those are words only
 */
const { values } = parseArgs({
  options: {
    out: { type: "string", default: join(root, "dist", "site") },
    base: { type: "string", default: "/" },
    source: { type: "string" },
  },
});

const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "dockline-lanes");
const work = join(cache, "site");
const out = resolve(values.out);

installGenerator();
const pages = join(work, "pages");
rmSync(pages, { recursive: true, force: true });
mkdirSync(join(pages, ".vitepress", "theme"), { recursive: true });
writePages(pages, values.source);
copyMermaid(join(work, "node_modules"), pages);
writeFileSync(join(pages, ".vitepress", "config.mjs"), configuration(values.base));
writeFileSync(join(pages, ".vitepress", "theme", "index.js"), theme);
mustRun(process.execPath, [
  ...[join(work, "node_modules", "vitepress", "bin", "vitepress.js"), "build", pages],
  ...["--outDir", join(work, "built")],
]);
rmSync(out, { recursive: true, force: true });
cpSync(join(work, "built"), out, { recursive: true });
process.stdout.write(`${out}: ${sitePages.length} pages\n`);

/** Once for each content of docs/site/package-lock.json. */
function installGenerator(): void {
  const lock = "package-lock.json";
  const wanted = readFileSync(join(root, "docs", "site", lock), "utf8");
  const stamp = join(work, "installed.json");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  mkdirSync(work, { recursive: true });
  for (const name of ["package.json", lock]) {
    cpSync(join(root, "docs", "site", name), join(work, name));
  }
  mustRun("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"]);
  writeFileSync(stamp, wanted);
}

function mustRun(program: string, args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { cwd: work, stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status !== 0) {
    process.stderr.write(`docs:site: ${program} failed\n`);
    process.exit(1);
  }
}
