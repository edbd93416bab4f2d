import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { parseAllDocuments } from "yaml";
import { commandsOf, pages, parsePage } from "./extract.ts";
import type { Command } from "./extract.ts";
import { unknownWords } from "./own-words.ts";
import { decide, isProgram } from "./rules.ts";
import type { Run } from "./rules.ts";
import { startStage } from "./stage.ts";
import type { Ran, Stage } from "./stage.ts";

// How a page's author marks a command: docs/contributing.md.

const all = pages();
const commands = all.flatMap((page) => commandsOf(page, isProgram));
const at = ({ page, line, text }: Command): string => `${page}:${line}: ${text}`;

describe("commands of the pages", () => {
  it("are run by this test, or known by a named reason", () => {
    const unknown = commands.filter((command) => decide(command) === undefined);
    expect(unknown.map(at)).to.deep.equal([]);
    expect(commands.length).to.be.above(40);
  });

  it("name programs, scripts and flags of others as they are", () => {
    const troubles = commands.flatMap((command) => {
      const decision = decide(command);
      if (decision?.how !== "checked" || decision.trouble === undefined) return [];
      return [`${at(command)}: ${decision.trouble}`];
    });
    expect(troubles).to.deep.equal([]);
  });

  it("have JSON and YAML beside them that can be read", () => {
    const broken = all.flatMap((page) =>
      parsePage(page).blocks.flatMap(({ language, text, line, mark }) => {
        if (mark === "output") return [];
        try {
          if (language === "json") JSON.parse(text);
          if (language === "yaml") {
            for (const document of parseAllDocuments(text)) document.toJS();
          }
          return [];
        } catch (error) {
          return [`${page.page}:${line}: ${String(error)}`];
        }
      }),
    );
    expect(broken).to.deep.equal([]);
  });
});

describe("commands of the pages, run on a node of their own", function () {
  this.timeout(90_000);
  let stage: Stage;
  const decided = new Map<string, { command: Command; decision: Run }>();
  const helps = new Map<string, { command: Command; flags: string[] }[]>();
  for (const command of commands) {
    const decision = decide(command);
    if (decision?.how === "run") decided.set(command.text, { command, decision });
    else if (decision?.help !== undefined) {
      const known = helps.get(decision.help.command) ?? [];
      helps.set(decision.help.command, [...known, { command, flags: decision.help.flags }]);
    }
  }

  before(async () => {
    stage = await startStage();
  });
  after(async () => {
    await stage.end();
  });

  const must = async (script: string): Promise<Ran> => {
    const ran = await stage.run(script);
    expect(ran.exitCode, `${script}\n${ran.output}`).to.equal(0);
    return ran;
  };

  for (const [text, { command, decision }] of decided) {
    it(`${command.page}:${command.line} ${text.split("\n", 1)[0] ?? ""}`, async () => {
      const { script, exits, before, after, withoutServer } = decision;
      if (withoutServer === true) await stage.stopServer();
      try {
        if (before !== undefined && before !== "") await must(before);
        let ran = await stage.run(script);
        // What a page starts in the line before may not listen yet.
        for (
          let left = 10;
          left > 0 && script.startsWith("curl ") && ran.exitCode === 7;
          left -= 1
        ) {
          await sleep(300);
          ran = await stage.run(script);
        }
        expect(exits, `exit code ${ran.exitCode} of ${script}\n${ran.output}`).to.include(
          ran.exitCode,
        );
        if (after !== undefined && after !== "") await must(after);
      } finally {
        if (withoutServer === true) await stage.startServer();
      }
    });
  }

  for (const [help, uses] of helps) {
    it(`${help} names the flags that pages give it`, async () => {
      const { output } = await must(help);
      const table = /option of "?dockline serve/.test(output)
        ? (await must("dockline serve --help")).output
        : "";
      const unknown = uses.flatMap(({ command, flags }) =>
        flags
          .filter((flag) => !new RegExp(`${flag}(?![\\w-])`).test(`${output}\n--config ${table}`))
          .map((flag) => `${at(command)}: ${flag}`),
      );
      expect(unknown).to.deep.equal([]);
    });
  }

  it("and what Dockline says of each of its own: in 80 columns, with all flags of the pages", async () => {
    const { output } = await must("dockline help");
    const names = [...output.matchAll(/^ {2}([a-z-]+) /gm)].map((match) => match[1] ?? "");
    expect(names).to.include.members(["serve", "play", "doctor", "migrate", "install-runtime"]);
    const asked = names.map((name) => `dockline ${name} --help`).join(" && ");
    const own = `${output}\n${(await must(asked)).output}`;
    expect(own.split("\n").filter((line) => line.length > 80)).to.deep.equal([]);
    const { output: others } = await must(
      "dockerd --help && docker run --help && docker ps --help && cat deploy/tarball/install.sh",
    );
    const ofPrograms = "--config --save-exact (npm) --force-confold (dpkg)";
    expect(unknownWords(all, `${own}\n${others}\n${ofPrograms}`)).to.deep.equal([]);
  });

  it("beside what the doctor says on a node with the example's mistakes", async () => {
    const operations = all.find(({ page }) => page === "docs/operations.md")!;
    const example = parsePage(operations).blocks.find(({ text }) => text.startsWith("ERROR"))!;
    const kubelet = "/var/lib/kubelet";
    const config = `cgroupDriver: systemd\\ncontainerRuntimeEndpoint: unix:///run/dockline/dockline.sock\\n`;
    const plant =
      `mv ${kubelet}/kubeadm-flags.env /root/; iptables -P FORWARD DROP; ` +
      `printf '${config}failCgroupV1: false\\n' >${kubelet}/config.yaml`;
    const { output } = await must(`${plant}; dockline doctor; [ $? = 2 ]`);
    await must(`mv /root/kubeadm-flags.env ${kubelet}/; iptables -P FORWARD ACCEPT`);
    const lines = example.text.split("\n").filter((line) => !/^\d+ errors/.test(line));
    expect(output.split("\n")).to.include.members(lines);
  });

  it("leave the pod that was there running", async () => {
    const { output } = await must(
      "curl -fsS --retry 5 --retry-connrefused http://127.0.0.1:18080/",
    );
    expect(output).to.contain("Hello from a pod on Docker");
  });
});
