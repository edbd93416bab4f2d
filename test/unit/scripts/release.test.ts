import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

const root = join(import.meta.dirname, "..", "..", "..");
const day = new Date().toISOString().slice(0, 10);

describe("npm run release", function () {
  this.timeout(60_000);
  let checkout: string;

  before(function () {
    if (spawnSync("git", ["--version"]).status !== 0) this.skip();
  });
  beforeEach(() => {
    checkout = mkdtempSync(join(tmpdir(), "dockline-release-"));
    for (const name of ["scripts", "package.json", "package-lock.json", "LICENSE", "NOTICE"]) {
      cpSync(join(root, name), join(checkout, name), { recursive: true });
    }
    mkdirSync(join(checkout, "src"));
    symlinkSync(join(root, "node_modules"), join(checkout, "node_modules"));
    writeFileSync(join(checkout, ".gitignore"), "node_modules\ndist\nbin\ncalls\n");
    writeFileSync(join(checkout, "CHANGELOG.md"), "# Changelog\n\n## [Unreleased]\n\n- A thing.\n");
    mkdirSync(join(checkout, "bin"));
    setManifest("0.1.0");
    git("init", "--quiet");
    git("add", "--all");
    git("commit", "--quiet", "--message", "First");
    npm("");
  });
  afterEach(() => {
    rmSync(checkout, { recursive: true });
  });

  const environment = (): NodeJS.ProcessEnv => ({
    ...process.env,
    PATH: `${checkout}/bin:${process.env["PATH"] ?? ""}`,
    GIT_CONFIG_GLOBAL: "/dev/null",
    ...{ GIT_AUTHOR_NAME: "A", GIT_AUTHOR_EMAIL: "a@example.org" },
    ...{ GIT_COMMITTER_NAME: "A", GIT_COMMITTER_EMAIL: "a@example.org" },
  });
  function git(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync("git", args, {
      ...{ cwd: checkout, env: environment(), encoding: "utf8" },
    });
    expect(status, `git ${args.join(" ")}: ${stderr}`).to.equal(0);
    return stdout.trim();
  }
  function setManifest(version: string): void {
    for (const name of ["package.json", "package-lock.json"]) {
      const text = readFileSync(join(checkout, name), "utf8");
      writeFileSync(
        join(checkout, name),
        text.replace(/"version": "[^"]+"/, `"version": "${version}"`),
      );
    }
  }
  /** An npm that notes its calls, makes checksums in place of packages, and fails for one script. */
  function npm(failing: string): void {
    const script = [
      "#!/bin/sh",
      'shift 2; echo "$1 $DOCKLINE_PACKAGE_VERSION" >>calls',
      `[ "$1" != "${failing}" ] || exit 1`,
      '[ "$1" != package ] || { mkdir -p dist; echo "0  a.deb" >dist/SHA256SUMS; }',
    ];
    writeFileSync(join(checkout, "bin", "npm"), script.join("\n"), { mode: 0o755 });
  }
  function release(...args: string[]): { status: number | null; output: string } {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", "scripts/project/release.ts", ...args],
      { cwd: checkout, env: environment(), encoding: "utf8" },
    );
    return { status, output: `${stdout}${stderr}` };
  }
  const read = (name: string): string => readFileSync(join(checkout, name), "utf8");

  it("commits, builds, tests, writes notes and tags", () => {
    const { status, output } = release("minor");
    expect(status, output).to.equal(0);
    expect(git("tag")).to.equal("v0.2.0");
    expect(git("log", "-1", "--format=%s")).to.equal("Release 0.2.0");
    expect(git("status", "--porcelain")).to.equal("");
    expect(read("CHANGELOG.md")).to.contain(`## [Unreleased]\n\n## [0.2.0] - ${day}\n\n- A thing.`);
    expect(read("package.json")).to.contain('"version": "0.2.0"');
    expect(read("calls")).to.equal("check 0.2.0\npackage 0.2.0\ntest:package 0.2.0\n");
    expect(read("dist/RELEASE-NOTES.md")).to.equal("# Dockline 0.2.0\n\n- A thing.\n");
    expect(git("tag", "--list", "--format=%(contents)")).to.contain("# Dockline 0.2.0");
    const sums = read("dist/SHA256SUMS").trim().split("\n");
    expect(sums.map((line) => line.replace(/^.*  /, ""))).to.deep.equal([
      ...["a.deb", "LICENSE", "NOTICE", "RELEASE-NOTES.md"],
    ]);
  });

  it("gives the tagged commit the release's version, and the next commit a higher one", () => {
    release("minor");
    const built = (): string =>
      spawnSync(process.execPath, ["scripts/project/build-version.ts"], {
        ...{ cwd: checkout, env: environment(), encoding: "utf8" },
      }).stdout.trim();
    expect(built()).to.equal("0.2.0");
    git("commit", "--quiet", "--allow-empty", "--message", "Next");
    expect(built()).to.match(/^0\.2\.0\+1\.g[0-9a-f]{8}$/);
  });

  it("takes its commit back when a step fails", () => {
    npm("test:package");
    const { status, output } = release("minor");
    expect(status).to.equal(1);
    expect(output).to.contain("npm run test:package failed; nothing was released");
    expect(git("log", "-1", "--format=%s")).to.equal("First");
    expect(git("tag")).to.equal("");
    expect(git("status", "--porcelain")).to.equal("");
    expect(read("package.json")).to.contain('"version": "0.1.0"');
  });

  it("changes nothing with --dry-run, and says what it would do", () => {
    const { status, output } = release("1.0.0-rc.1", "--dry-run");
    expect(status).to.equal(0);
    expect(output).to.contain("would release 1.0.0-rc.1").and.contain("npm run test:package");
    expect(output).to.contain("- A thing.");
    expect(git("log", "--format=%s")).to.equal("First");
    expect(git("status", "--porcelain")).to.equal("");
  });

  it("refuses a checkout with changes, a tag that exists and a version that is none", () => {
    expect(release("lower").output).to.contain('"lower" is no version');
    expect(release().output).to.contain("want one version");
    git("tag", "v0.2.0");
    expect(release("minor").output).to.contain("v0.2.0 exists already");
    writeFileSync(join(checkout, "CHANGELOG.md"), "changed");
    expect(release("patch").output).to.contain("changes that are not committed");
  });
});
