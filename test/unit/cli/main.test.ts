import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { commands } from "../../../src/cli/commands.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const program = join(import.meta.dirname, "..", "..", "..", "bin", "dockline");

function dockline(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return { code: status, stdout, stderr };
}

describe("the command line as people meet it", function () {
  // Each test starts processes.
  this.timeout(120_000);
  const folder = tempFolder();
  after(() => folder.remove());

  it("shows every command, also where nothing or only help is asked for", () => {
    const { code, stdout, stderr } = dockline();
    expect([code, stderr]).to.deep.equal([0, ""]);
    for (const { name } of commands) expect(stdout).to.match(new RegExp(`^  ${name} `, "m"));
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).to.be.at.most(80);
    for (const args of [["--help"], ["-h"], ["help"], ["help", "--help"]]) {
      expect(dockline(...args).stdout, args.join()).to.equal(stdout);
    }
  });

  it("has the help of each command by both names, on stdout", () => {
    for (const { name } of commands.filter(({ name }) => name !== "help")) {
      const { code, stdout, stderr } = dockline(name, "--help");
      expect([code, stderr], name).to.deep.equal([0, ""]);
      expect(stdout, name).to.match(/^usage: dockline /);
      if (name === "version") expect(dockline("help", name).stdout).to.equal(stdout);
    }
  });

  it("takes flags without a command for serve, as cri-dockerd does", () => {
    const { code, stderr } = dockline("--pod-cidr=nonsense", "--config=");
    expect(code).to.equal(2);
    expect(stderr).to.match(/^dockline: --pod-cidr=nonsense: .* \(example: --pod-cidr=.*\)\n$/);
  });

  it("serves without a command where systemd starts it, as cri-dockerd does", () => {
    const env = { ...process.env, NOTIFY_SOCKET: "/none", DOCKLINE_POD_CIDR: "nonsense" };
    const { status, stderr } = spawnSync(program, [], { encoding: "utf8", env });
    expect(status).to.equal(2);
    expect(stderr).to.include("DOCKLINE_POD_CIDR=nonsense");
  });

  it("prints its version in all the ways that people try", () => {
    const [first] = dockline("--version").stdout.split("\n");
    for (const args of [["-v"], ["serve", "--version"], ["--buildinfo", "--log-level=info"]]) {
      expect(dockline(...args).stdout, args.join()).to.equal(`${first ?? ""}\n`);
    }
  });

  it("names the command that was meant, in one line", () => {
    const { code, stderr } = dockline("doctro");
    expect(code).to.equal(2);
    expect(stderr).to.equal('dockline: unknown command "doctro"; did you mean dockline doctor?\n');
  });

  it("tells a wrong command line in one line, without the whole help behind it", () => {
    for (const args of [["release"], ["install-runtime", "--nonsense"], ["version", "x"]]) {
      const { code, stdout, stderr } = dockline(...args);
      expect([code, stdout], args.join()).to.deep.equal([2, ""]);
      expect(stderr).to.match(/^dockline: [^\n]*see dockline [a-z-]+ --help\n$/);
    }
  });

  it("checks a configuration, and prints one that can be fed back", () => {
    const file = folder.path("config.yaml");
    writeFileSync(file, "logLevel: warn\ndrainTimeout: 3s\n");
    const printed = dockline("config", "--config", file);
    expect(printed.code).to.equal(0);
    expect(printed.stdout).to.match(new RegExp(`^drainTimeout: 3s +# ${file}$`, "m"));
    const again = folder.path("again.yaml");
    writeFileSync(again, printed.stdout);
    const json = dockline("config", "--json", "--config", file);
    expect(dockline("config", "--json", "--config", again).stdout).to.equal(json.stdout);
    expect(JSON.parse(json.stdout)).to.include({ logLevel: "warn", drainTimeout: "3s" });
  });

  it("says all that is wrong with a configuration, without a stack, before serve does anything", () => {
    const file = folder.path("wrong.yaml");
    writeFileSync(file, `podCidr: x\nstateDir: ${folder.path("state")}\nlogLevel: loud\n`);
    for (const command of ["config", "serve"]) {
      const { code, stdout, stderr } = dockline(command, `--config=${file}`);
      expect([code, stdout], command).to.deep.equal([2, ""]);
      expect(stderr.trim().split("\n")).to.have.length(2);
      expect(stderr).to.match(/wrong\.yaml:1: podCidr=x: .*\n.*wrong\.yaml:3: logLevel=loud: /);
    }
  });

  it("has a code for a server that does not answer, and none for its own version", () => {
    const endpoint = `--endpoint=unix://${folder.path("nobody.sock")}`;
    const asked = dockline("version", "-o", "json", endpoint);
    expect(asked.code).to.equal(1);
    const { client, server } = JSON.parse(asked.stdout) as Record<string, Record<string, string>>;
    expect(server?.["error"]).to.match(/nobody\.sock/);
    const own = dockline("version", "--client", "--output=json", endpoint);
    expect([own.code, JSON.parse(own.stdout)]).to.deep.equal([0, { client }]);
    expect(dockline("version", endpoint).stdout).to.match(/^dockline .*\nserver at .*: no answer/);
    for (const args of [["-o", "yaml"], ["--short"]]) {
      const wrong = dockline("version", ...args);
      expect([wrong.code, wrong.stdout]).to.deep.equal([2, ""]);
      expect(wrong.stderr).to.match(/^dockline: version: .*\n$/);
    }
  });
});
