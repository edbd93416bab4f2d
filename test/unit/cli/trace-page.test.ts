import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { parseTraceArguments } from "../../../src/cli/trace-arguments.ts";

const page = readFileSync(join(import.meta.dirname, "../../../docs/trace.md"), "utf8");
const blocks = [...page.matchAll(/```\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
const commands = blocks
  .flatMap((block) => block.split("\n"))
  .map((line) => /^(?:# )?dockline trace ?(.*)$/.exec(line)?.[1])
  .filter((args) => args !== undefined);

describe("docs/trace.md", () => {
  it("has commands that are taken", () => {
    expect(commands.length).to.be.at.least(7);
    for (const command of commands) {
      // As a shell takes quotes around a pattern.
      const args = command.split(" ").filter((word) => word !== "");
      const plain = args.map((word) => word.replaceAll("'", ""));
      expect(parseTraceArguments(plain, {}), command).to.be.an("object");
    }
  });

  it("has screens of 80 columns", () => {
    const screens = blocks.filter((block) => block.includes("|    "));
    expect(screens).to.have.length(2);
    for (const line of screens.flatMap((screen) => screen.split("\n"))) {
      expect(line.length, line).to.be.at.most(80);
    }
  });
});
