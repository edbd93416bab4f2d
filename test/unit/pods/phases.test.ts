import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { transitions } from "../../../src/pods/phases.ts";

describe("the phases of a pod", () => {
  it("go where the diagram of docs/architecture.md shows it, and nowhere else", () => {
    const page = readFileSync(join(import.meta.dirname, "../../../docs/architecture.md"), "utf8");
    const [, diagram = ""] = /stateDiagram-v2\n(.*?)```/s.exec(page) ?? [];
    const shown = [...diagram.matchAll(/^ +(\S+) --> (\w+):/gm)]
      .map(([, from = "", to = ""]) => `${from === "[*]" ? "gone" : from} → ${to}`)
      // A phase may always be entered again.
      .filter((step) => !/^(\w+) → \1$/.test(step));
    const allowed = Object.entries(transitions).flatMap(([from, phases]) =>
      phases.map((to) => `${from} → ${to}`),
    );
    expect(shown).to.have.members(allowed);
  });
});
