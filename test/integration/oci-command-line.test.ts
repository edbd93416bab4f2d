import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { docklineOci } from "../support/oci-engine.ts";
import { tempFolder } from "../support/temp-folder.ts";

// The program alone, with echo as the real runtime: needs neither root nor an engine.

describe("dockline-oci: command line", () => {
  const call = (...args: string[]) =>
    spawnSync(docklineOci, ["--real-runtime=/bin/echo", ...args], { encoding: "utf8" });

  for (const args of [
    ["--root", "/r", "--log", "/dev/null", "--log-format", "json", "state", "c1"],
    ["--root=/r", "--systemd-cgroup", "start", "create"],
    ["--log", "create", "kill", "--all", "c1", "9"],
    ["exec", "--process", "create", "c1"],
    ["delete", "--force", "c1"],
    ["events", "--stats", "c1"],
    ["features"],
    ["-v"],
    ["--flag-to-come", "value", "state", "c1"],
    ["update", "--resources", "-", "c1"],
  ])
    it(`hands through: ${args.join(" ")}`, () => {
      const done = call(...args);
      expect(done.stderr).to.equal("");
      expect(done.stdout.trim()).to.equal(args.join(" "));
      expect(done.status).to.equal(0);
    });

  for (const [args, sentence] of [
    [["run", "c1"], "run is not supported"],
    [["--root", "/r", "restore", "c1"], "restore is not supported"],
    [["--flag-to-come", "value", "create", "c1"], "unknown flag --flag-to-come"],
    [["create", "--flag-to-come", "c1"], "unknown flag --flag-to-come"],
    [["create"], "without an id"],
    [["create", "--bundle", "/b"], "without an id"],
    [["create", "c1", "c2"], "more than one id"],
    [["create", "../c1"], "is not the id of a Docker container"],
    [["create", ".features-1"], "is not the id of a Docker container"],
    [["create", "no-such-container"], "no-such-container.json does not exist"],
    [["--edits=/elsewhere", "create", "c1"], "/elsewhere/c1.json does not exist"],
    [["--edits=elsewhere", "create", "c1"], "is not an absolute path"],
    [["--edits=", "create", "c1"], "is not an absolute path"],
    [["--edits=/elsewhere/", "create", "c1"], "without a slash at its end"],
  ] as const)
    it(`refuses: ${args.join(" ")}`, () => {
      const done = call(...args);
      expect(done.stderr)
        .to.match(/^dockline-oci: [^\n]+\n$/)
        .and.contain(sentence);
      expect(done.stdout).to.equal("");
      expect(done.status).to.equal(1);
    });

  it("writes the sentence to the log in the form that was asked for", () => {
    const temp = tempFolder();
    try {
      call("--log", temp.path("json"), "--log-format=json", "create", 'no"such');
      const line = JSON.parse(readFileSync(temp.path("json"), "utf8")) as Record<string, string>;
      expect(line).to.include({ level: "error" });
      expect(line["msg"]).to.contain('no"such');
      expect(Date.parse(line["time"] ?? "")).to.be.closeTo(Date.now(), 60_000);
      call(`--log=${temp.path("text")}`, "create", "no-such");
      expect(readFileSync(temp.path("text"), "utf8")).to.match(
        /^time="[^"]+" level=error msg="doc/,
      );
    } finally {
      temp.remove();
    }
  });

  it("finds the real runtime on PATH, and never itself", () => {
    const named = (name: string, PATH: string) =>
      spawnSync(docklineOci, [`--real-runtime=${name}`, "state"], {
        encoding: "utf8",
        env: { PATH },
      });
    expect(named("echo", "/nonexistent:/bin").stdout).to.equal("state\n");
    expect(named("echo", "/nonexistent").stderr).to.contain("echo is not on PATH");
    expect(named(docklineOci, "/bin").stderr).to.contain("is dockline-oci itself");
  });

  it("says which edits it understands", () => {
    expect(JSON.parse(call("--dockline-version").stdout)).to.deep.equal({
      edits: 1,
      operations: ["listPut", "listDrop", "envDrop", "sortMounts", "requires", "networkNamespace"],
    });
  });
});
