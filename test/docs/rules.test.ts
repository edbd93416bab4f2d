import { expect } from "chai";
import { examine } from "../../src/admin/doctor/examine.ts";
import { soundNode } from "../support/doctor-node.ts";
import { mistakes } from "../unit/admin/doctor/mistakes.ts";
import { commandsOf, parsePage } from "./extract.ts";
import { decide, isProgram } from "./rules.ts";

const of = (...lines: string[]): string[] =>
  commandsOf({ page: "p.md", text: lines.join("\n") }, isProgram).map(({ text }) => text);
const fence = "```";

/** What becomes of the one command of a page. */
function decided(...lines: string[]): string {
  const [command] = commandsOf({ page: "p.md", text: lines.join("\n") }, isProgram);
  if (command === undefined) return "no command";
  const decision = decide(command);
  if (decision === undefined) return "unknown";
  if (decision.how === "run") return `run ${decision.script}`;
  return `${decision.reason}${decision.trouble === undefined ? "" : `: ${decision.trouble}`}`;
}
const inline = (text: string): string => decided(`See \`${text}\`.`);

describe("the reading of pages", () => {
  it("takes each line of a shell block, without comments, continued lines as one", () => {
    expect(
      of(
        `${fence}sh`,
        "# only words",
        "apt-get install \\",
        "  runc   # newer",
        "echo '# no'",
        fence,
      ),
    ).to.deep.equal(["apt-get install runc", "echo '# no'"]);
  });

  it("takes a here document with its text", () => {
    const text = ["cat <<EOT >/etc/x", "a # b", "EOT"];
    expect(of(`${fence}sh`, ...text, fence)).to.deep.equal([text.join("\n")]);
  });

  it("takes lines behind a prompt, and not the output between them", () => {
    expect(of(fence, "$ docker ps", "docker says", "$ dockline version", fence)).to.deep.equal([
      "docker ps",
      "dockline version",
    ]);
    expect(of(`${fence}console`, "# docker ps", "out", fence)).to.deep.equal(["docker ps"]);
  });

  it("takes spans in backticks that begin with a program", () => {
    expect(of("`dockline version`, `no program`, `kill`, `.ci/run`, ``x``")).to.deep.equal([
      "dockline version",
      ".ci/run",
    ]);
  });

  it("leaves output, YAML and JSON alone", () => {
    expect(of("<!-- test: output -->", fence, "docker ps", fence)).to.deep.equal([]);
    expect(of(`${fence}yaml`, "# docker ps", "a: b", fence)).to.deep.equal([]);
    expect(of(`${fence}json`, "{}", fence)).to.deep.equal([]);
  });

  it("holds a mark for one block or one paragraph", () => {
    const page = {
      page: "p.md",
      text: ["<!-- test: run -->", "", "one", "two", "", "three"].join("\n"),
    };
    expect(parsePage(page).prose.map(({ mark }) => mark)).to.deep.equal(["run", "run", undefined]);
  });
});

describe("the rules for commands", () => {
  it("run what is harmless, and ask for the help of what is only mentioned", () => {
    expect(inline("dockline version")).to.equal("run dockline version");
    expect(inline("./bin/dockline config")).to.equal("run dockline config");
    expect(inline("dockline play POD.yaml --detach")).to.contain("test/docs/pod.yaml");
    expect(inline("docker logs")).to.equal("run docker logs --help");
    expect(inline("dockline migrate")).to.equal("run dockline migrate --help");
  });

  it("look up what cannot run here", () => {
    expect(inline("kubectl annotate node NODE --overwrite a=b")).to.equal("cluster");
    expect(inline("systemctl restart dockline.service")).to.equal("init");
    expect(inline("npm run test:docs")).to.equal("lane");
    expect(inline("crictl info")).to.equal("crictl");
    expect(inline("dockline serve --log-level=debug")).to.equal("server");
    expect(decided(`${fence}sh`, "KUBELET_EXTRA_ARGS=--v=2", fence)).to.equal("kubelet");
  });

  it("name what is wrong with it", () => {
    expect(inline("kubectl frobnicate")).to.equal("cluster: kubectl has no frobnicate");
    expect(inline("crictl ps --bogus")).to.contain("--bogus is not known");
    expect(inline("systemctl start dockline-x.service")).to.contain("no unit dockline-x.service");
    expect(inline("npm run nothing")).to.contain("no script nothing");
    expect(inline("node scripts/none.ts")).to.contain("scripts/none.ts is not there");
    expect(inline("test/lanes/none")).to.contain("test/lanes/none is not there");
    expect(inline("test/lanes/none-*")).to.contain("test/lanes/none-* is not there");
    expect(inline("test/lanes/uml-*")).to.equal("lane");
    expect(decided(`${fence}sh`, "KUBELET_EXTRA_ARGS=--bogus", fence)).to.contain("--bogus");
    expect(inline("apt-get update && apt-get install --bogus x")).to.contain("--bogus");
  });

  it("hold for what the doctor tells people to type", () => {
    const lines = mistakes
      .flatMap(([, changes]) => examine(soundNode(changes)).flatMap(({ mend }) => mend))
      .map((line) => line.replace(/ {2,}#.*$/, ""))
      .filter((line) => !/^(?:in|on|or|take) /.test(line));
    expect(lines.length).to.be.above(40);
    const bad = [...new Set(lines)]
      .map((line) => `${line} -> ${decided(`${fence}sh`, line, fence)}`)
      .filter((line) => /-> (?:unknown|no command|\w+: )/.test(line));
    expect(bad).to.deep.equal([]);
  });

  it("do not know a program that nobody wrote down, nor a mark", () => {
    expect(decided(`${fence}sh`, "frobnicate --all", fence)).to.equal("unknown");
    expect(decided("<!-- test: nonsense -->", `${fence}sh`, "echo", fence)).to.equal("unknown");
    expect(decided("<!-- test: run -->", `${fence}sh`, "frobnicate", fence)).to.equal(
      "run frobnicate",
    );
    expect(decided("<!-- test: init -->", `${fence}sh`, "frobnicate", fence)).to.equal("init");
  });
});
