import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { flagsIn } from "../../../scripts/package/completions.ts";
import { shellFiles } from "../../../scripts/package/shell-files.ts";
import { commands } from "../../../src/cli/commands.ts";
import { optionsHelp } from "../../../src/config/argv.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { configAsJson } from "../../../src/config/reference.ts";

const helps: Record<string, string> = {
  serve: `usage: dockline serve\n\n${optionsHelp()}\n`,
  version:
    "usage: dockline version [-o FORMAT]\n       dockline version …\n\nPrints it.\n.a line\n\n  -o, --output FORMAT   json\n  --client   own\n",
};
const helpOf = (command: string): string => helps[command] ?? `usage: dockline ${command}\n`;
const { pages, completions } = shellFiles(helpOf, "1.2.3", "2026-01-01");
const fileOf = (end: string): string => completions.find(([path]) => path.endsWith(end))?.[1] ?? "";

describe("the manual pages of the commands", () => {
  it("are there for each command that does something, with its summary", () => {
    const names = commands.map(({ name }) => name).filter((name) => name !== "help");
    expect(pages.map(([path]) => path)).to.have.members(
      names.map((name) => `dockline-${name}.8.gz`),
    );
    for (const { name, summary } of commands.filter((command) => command.name !== "help")) {
      const page = pages.find(([path]) => path.endsWith(`-${name}.8.gz`))?.[1] ?? "";
      expect(page.replaceAll("\\-", "-")).to.include(`dockline-${name} - `);
      expect(page.replaceAll("\\-", "-")).to.include(summary);
    }
  });

  it("say what the command says, in plain characters and without requests of its own", () => {
    const page = pages.find(([path]) => path.endsWith("-version.8.gz"))?.[1] ?? "";
    expect(page).to.include(".SH SYNOPSIS\n.nf\ndockline version [\\-o FORMAT]\ndockline version");
    expect(page).to.include("Prints it.\n\\&.a line\n");
    expect(page).to.match(/^[\x20-\x7e\n]*$/);
  });
});

describe("the completions", () => {
  it("know flags where a help text begins a line with them", () => {
    expect(flagsIn("  -o, --output X  as\n  --down   see --other\ntext --no\n")).to.deep.equal([
      "--down",
      "--help",
      "--output",
    ]);
  });

  const complete = (...words: string[]): string[] => {
    const script = `${fileOf("completions/dockline")}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_dockline; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["-u", "-c", script], { encoding: "utf8" });
    expect(stderr).to.equal("");
    return stdout.split("\n").filter((word) => word !== "");
  };

  it("offer commands, the flags of a command, and values in bash", () => {
    expect(complete("dockline", "do")).to.deep.equal(["doctor"]);
    expect(complete("dockline", "")).to.have.members(commands.map(({ name }) => name));
    expect(complete("dockline", "version", "--c")).to.deep.equal(["--client"]);
    expect(complete("dockline", "serve", "--cni-c")).to.deep.equal([
      "--cni-cache-dir",
      "--cni-conf-dir",
    ]);
    expect(complete("dockline", "--docker-e")).to.deep.equal(["--docker-endpoint"]);
    expect(complete("dockline", "serve", "--log-format", "t")).to.deep.equal(["text"]);
    expect(complete("dockline", "serve", "--log-level", "=", "w")).to.deep.equal(["warn"]);
    expect(complete("dockline", "help", "pl")).to.deep.equal(["play"]);
    // A file, which bash completes by itself.
    expect(complete("dockline", "play", "po")).to.deep.equal([]);
  });

  it("are for zsh and fish as well, with every command and flag", () => {
    for (const end of ["_dockline", "dockline.fish"]) {
      const text = fileOf(end);
      for (const { name } of commands) expect(text, end).to.match(new RegExp(`\\b${name}\\b`));
      expect(text)
        .to.match(/cni-bin-dir/)
        .and.match(/debug info warn/);
    }
    const shells = [
      ["zsh", ["-n"], "_dockline"],
      ["fish", ["--no-execute"], "dockline.fish"],
    ] as const;
    for (const [shell, flags, end] of shells) {
      const { error, stderr } = spawnSync(shell, [...flags, "/dev/stdin"], {
        input: fileOf(end),
        encoding: "utf8",
      });
      // Looked at where the shell is.
      if (error === undefined) expect(stderr, shell).to.equal("");
    }
  });
});

describe("the removal of the package", () => {
  it("finds Docker's endpoint in what dockline config prints", () => {
    const path = join(import.meta.dirname, "..", "..", "..", "deploy", "package", "before-removal");
    const [, script = ""] = /config --json 2>\/dev\/null \| (sed .*)\)$/m.exec(
      readFileSync(path, "utf8"),
    ) ?? [""];
    const loaded = loadConfig({ flags: { "docker-endpoint": "unix:///other.sock" } });
    const { stdout } = spawnSync("sh", ["-c", script], {
      input: `${configAsJson(loaded)}\n`,
      encoding: "utf8",
    });
    expect(stdout).to.equal("unix:///other.sock\n");
  });
});
