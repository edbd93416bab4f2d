import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { docker, words } from "./numbered-lines.ts";
import { contents, ID, makeNode, positionIn, type Node } from "./setup.ts";

describe("a log whose saved position is not true any more", () => {
  let node: Node;
  const position = (): string => join(node.stateDir, "logs", `${ID}.json`);
  beforeEach(async () => {
    node = makeNode();
    mkdirSync(dirname(node.target.sourcePath), { recursive: true });
    writeFileSync(`${node.target.sourcePath}.1`, docker(["1", "2"]));
    writeFileSync(node.target.sourcePath, docker(["3", "4", "5"]));
    const logs = node.make();
    await logs.start(node.target);
    await logs.drain(ID, 20_000);
    await logs.close();
    const saved = JSON.parse(positionIn(node.stateDir)) as Record<string, unknown>;
    writeFileSync(position(), JSON.stringify({ ...saved, drained: false }));
    expect(contents(node.logFile)).to.deep.equal(["1", "2", "3", "4", "5"]);
  });
  afterEach(async () => {
    await node.cleanUp();
  });

  for (const [what, change, expected] of [
    ["the end of the log is NULs", () => damage(node.logFile, 20), "1 2 3 4 5 6"],
    [
      "the log is shorter",
      () => truncateSync(node.logFile, sizeOf(node.logFile) - 40),
      "1 2 3 4 5 6",
    ],
    ["the position is an empty file", () => writeFileSync(position(), ""), "1 2 3 4 5 6"],
    ["somebody emptied the log", () => truncateSync(node.logFile, 0), "6"],
    ["the log is a copy", () => copy(node.logFile), "1 2 3 4 5 6"],
    ["Docker's file is a copy", () => copy(node.target.sourcePath), "1 2 3 4 5 6"],
    [
      "Docker's file is shorter",
      () => truncateSync(node.target.sourcePath, docker(["3", "4"]).length),
      "1 2 3 4 5 6",
    ],
    ["the end of Docker's file is NULs", () => damage(node.target.sourcePath, 20), "1 2 3 4 5 6"],
    [
      "both ends are NULs",
      () => {
        damage(node.logFile, 20);
        damage(node.target.sourcePath, 20);
      },
      "1 2 3 4 6",
    ],
    [
      "Docker's folder has been recreated",
      () => {
        rmSync(`${node.target.sourcePath}.1`);
        copy(node.target.sourcePath, Buffer.alloc(0));
      },
      "1 2 3 4 5 gap 6",
    ],
  ] as const)
    it(`writes nothing twice when ${what}`, async () => {
      change();
      appendFileSync(node.target.sourcePath, docker(["6"]));
      const logs = node.make({ resumes: true });
      await logs.resume([node.target]);
      expect(await logs.drain(ID, 20_000)).to.equal(true);
      expect(
        contents(node.logFile).map((line) => line.replace(/^dockline: .*/, "gap")),
      ).to.deep.equal(words(expected));
    });

  it("is not written twice when the container of a finished log is started again", async () => {
    const noted = positionIn(node.stateDir).replace('"drained":false', '"drained":true');
    appendFileSync(node.target.sourcePath, docker(["6"]));
    const first = node.make({ resumes: true });
    await first.resume([node.target]);
    expect(await first.drain(ID, 20_000)).to.equal(true);
    await first.close();
    writeFileSync(position(), noted);
    const second = node.make();
    await second.start(node.target);
    expect(await second.drain(ID, 20_000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(words("1 2 3 4 5 6"));
  });

  it("leaves no half of a position behind", async () => {
    const folder = dirname(position());
    writeFileSync(`${position()}.tmp`, '{"v":1,"sou');
    writeFileSync(join(folder, `${"b".repeat(64)}.json.tmp`), "");
    const logs = node.make({ resumes: true });
    await logs.resume([node.target]);
    await logs.remove(ID);
    expect(readdirSync(folder)).to.deep.equal(["positions.journal"]);
  });
});

const sizeOf = (path: string): number => statSync(path).size;

/** As a power cut leaves it: the length is right, and the last bytes were never written. */
function damage(path: string, bytes: number): void {
  const text = readFileSync(path);
  writeFileSync(path, text.fill(0, text.length - bytes));
}

function copy(path: string, content = readFileSync(path)): void {
  const other = `${path}.copying`;
  writeFileSync(other, content);
  rmSync(path);
  copyFileSync(other, `${other}2`);
  rmSync(other);
  renameSync(`${other}2`, path);
}
