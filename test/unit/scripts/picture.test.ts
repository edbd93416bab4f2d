import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { excerpt } from "../../../scripts/project/picture.ts";
import { terminalPicture } from "../../../scripts/project/terminal-picture.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

const recording = [
  "Docker Engine … 0.9 s",
  "",
  "Each CRI call and the Docker requests it became:",
  "10:00:00.000 RunPodSandbox default/web   1.91 s OK",
  "  docker  POST /containers/create  201 | ## |  1.0 ms",
  "10:00:01.000 CreateContainer default/web  22.4 ms OK",
  "10:00:02.000 StartContainer default/web  22.4 ms OK",
  "and 10 reads without any Docker request",
  "",
  "<h1>Hello & welcome</h1>",
  "",
  "Served 4.2 s after the start.",
];

describe("the picture of a terminal", () => {
  it("has what was printed up to the page, with the first calls and the number of the others", () => {
    expect(excerpt(recording.join("\n"))).to.deep.equal([
      "$ npm run quickstart -- --once",
      ...recording.slice(0, 6),
      "⋮ 1 more call",
      ...recording.slice(7, 10),
    ]);
    expect(() => excerpt("installing docker.io\n")).to.throw("before the pod has answered");
  });

  it("is text, with its marks escaped, and cuts what is too long", () => {
    const svg = terminalPicture(["$ <a> & b", "x".repeat(30), "  d 1 | ## | 2 ms"], "a run", 20);
    expect(svg)
      .to.contain("$ &lt;a&gt; &amp; b")
      .and.contain(`>${"x".repeat(19)}…<`);
    expect(svg).to.match(/<tspan fill="#ffa657"> ## <\/tspan>\| 2 ms/);
  });

  it("is in the README's picture as the quickstart prints it now", () => {
    const svg = read("docs/pictures/quickstart.svg");
    const printed = ["scripts/quickstart.ts", "scripts/quickstart-trace.ts"].map(read).join("");
    for (const words of [
      "Docker Engine",
      "serving the CRI",
      "$ dockline play deploy/examples/web.yaml --detach",
      "Each CRI call and the Docker requests it became:",
      "reads without any Docker request",
    ]) {
      expect(printed, words).to.contain(words);
      expect(svg, words).to.contain(words);
    }
    expect(svg)
      .to.match(/RunPodSandbox default\/web .* OK/)
      .and.contain("Hello from a pod on Docker");
    expect(read("README.md")).to.contain("](docs/pictures/quickstart.svg)");
  });
});
