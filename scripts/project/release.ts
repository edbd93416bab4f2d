import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ownVersion, root } from "../bundle.ts";
import { run, sha256 } from "../package/commands.ts";
import { nextVersion, released, sectionOf } from "./changelog.ts";

/**
 * `npm run release -- VERSION [--dry-run]`, VERSION being major, minor, patch or a version of its own: checks the
 * project, commits the version with a dated entry of CHANGELOG.md, builds the packages into dist/, takes them through
 * their tests, writes dist/RELEASE-NOTES.md and tags the commit. It pushes nothing. When a step fails the commit is
 * taken back. With --dry-run it says what it would do and changes nothing.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { "dry-run": { type: "boolean", default: false } },
});
const dryRun = values["dry-run"];
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const path = (name: string): string => join(root, name);

try {
  release(positionals);
} catch (error) {
  process.stderr.write(`release: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

function release([asked, ...more]: readonly string[]): void {
  if (asked === undefined || more.length > 0) {
    throw new Error("want one version: npm run release -- minor, or npm run release -- 1.2.3");
  }
  const version = nextVersion(ownVersion(), asked);
  const tag = `v${version}`;
  refuseUnlessReady(tag);
  const date = new Date().toISOString().slice(0, 10);
  const changelog = released(readFileSync(path("CHANGELOG.md"), "utf8"), version, date);
  const notes = `# Dockline ${version}\n\n${sectionOf(changelog, version) ?? ""}\n`;
  if (dryRun) {
    say(`would release ${version} (${tag}, ${date}) after ${ownVersion()}:`);
    for (const step of steps(version)) say(`  ${step.says}`);
    say(`  tag ${tag}\n\n${notes}`);
    return;
  }
  const before = run("git", "rev-parse", "HEAD");
  try {
    writeFileSync(path("CHANGELOG.md"), changelog);
    for (const file of ["package.json", "package-lock.json"]) setVersion(file, version);
    run("git", "commit", "--all", "--signoff", "--message", `Release ${version}`);
    for (const step of steps(version)) {
      say(step.says);
      step.run();
    }
    writeFileSync(path("dist/RELEASE-NOTES.md"), notes);
    addToSums(["LICENSE", "NOTICE", "RELEASE-NOTES.md"]);
    run(
      "git",
      "tag",
      "--annotate",
      "--cleanup=whitespace",
      "--file",
      path("dist/RELEASE-NOTES.md"),
      tag,
    );
  } catch (error) {
    // The tree was clean before, so nothing of anybody's is lost.
    run("git", "reset", "--hard", "--quiet", before);
    throw error;
  }
  say(`\n${tag} is tagged, its files are in dist/. Publish it: git push origin HEAD ${tag}`);
}

interface Step {
  says: string;
  run: () => void;
}

function steps(version: string): Step[] {
  const npm = (...words: string[]): Step => ({
    says: `npm run ${words.join(" ")}`,
    run: () => {
      const env = { ...process.env, DOCKLINE_PACKAGE_VERSION: version };
      const { status } = spawnSync("npm", ["run", "--silent", ...words], {
        ...{ cwd: root, env, stdio: "inherit" },
      });
      if (status !== 0) throw new Error(`npm run ${words.join(" ")} failed; nothing was released`);
    },
  });
  const empty = {
    says: "empty dist/",
    run: () => {
      rmSync(path("dist"), { recursive: true, force: true });
    },
  };
  return [npm("check"), empty, npm("package"), npm("test:package")];
}

function refuseUnlessReady(tag: string): void {
  if (run("git", "status", "--porcelain") !== "") {
    throw new Error("the checkout has changes that are not committed");
  }
  if (run("git", "rev-parse", "--is-shallow-repository") === "true") {
    throw new Error("the checkout's history is cut off: git fetch --unshallow --tags");
  }
  if (run("git", "tag", "--list", tag) !== "") throw new Error(`the tag ${tag} exists already`);
}

/** In the two places of npm's files that hold the package's own version. */
function setVersion(file: string, version: string): void {
  const manifest = JSON.parse(readFileSync(path(file), "utf8")) as {
    version: string;
    packages?: { "": { version: string } };
  };
  manifest.version = version;
  if (manifest.packages !== undefined) manifest.packages[""].version = version;
  writeFileSync(path(file), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

function addToSums(names: readonly string[]): void {
  for (const name of names.slice(0, 2)) copyFileSync(path(name), path(`dist/${name}`));
  const lines = names.map((name) => `${sha256(path(`dist/${name}`))}  ${name}\n`);
  const sums = path("dist/SHA256SUMS");
  writeFileSync(sums, readFileSync(sums, "utf8") + lines.join(""));
}
