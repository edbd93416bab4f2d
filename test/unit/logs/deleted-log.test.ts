import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect } from "chai";
import type { ContainerLogs } from "../../../src/logs/container-logs.ts";
import { JsonFileWriter } from "./json-file-writer.ts";
import { contents, ID, makeNode, until, type Node } from "./setup.ts";

describe("a container log that is deleted while its container runs", () => {
  let node: Node;
  let logs: ContainerLogs;
  let writer: JsonFileWriter;
  let printed = 0;
  const print = (count: number): void => {
    for (const end = printed + count; printed < end; printed += 1) writer.line(String(printed));
  };
  const has = (last: number): boolean =>
    existsSync(node.logFile) && contents(node.logFile).at(-1) === String(last);
  beforeEach(async () => {
    node = makeNode();
    printed = 0;
    mkdirSync(dirname(node.target.sourcePath), { recursive: true });
    writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 2000, maxFiles: 4 });
    logs = node.make();
    await logs.start(node.target);
    print(3);
    await until("the first lines", () => has(2));
  });
  afterEach(async () => {
    writer.close();
    await node.cleanUp();
  });

  for (const [what, remove] of [
    ["the file alone", () => rmSync(node.logFile)],
    ["with its folder", () => rmSync(dirname(node.logFile), { recursive: true })],
    ["with the pod's folder", () => rmSync(node.target.logDirectory, { recursive: true })],
  ] as const)
    it(`is made again, with the lines since then once: ${what}`, async () => {
      remove();
      print(60);
      await until("the last line", () => has(62), 20_000);
      expect(await logs.drain(ID, 20_000)).to.equal(true);
      expect(contents(node.logFile)).to.deep.equal(
        Array.from({ length: 60 }, (_, i) => String(3 + i)),
      );
      expect(logs.lag().lostBytes).to.equal(0n);
    });

  it("is made again for a container that is silent", async function () {
    this.timeout(30_000);
    rmSync(node.target.logDirectory, { recursive: true });
    await until("the file", () => existsSync(node.logFile), 20_000);
    expect(contents(node.logFile)).to.deep.equal([]);
  });

  it("is made again as soon as it can be, with all lines since then", async () => {
    rmSync(node.target.logDirectory, { recursive: true });
    writeFileSync(node.target.logDirectory, "in the way");
    print(1);
    await until("a look", () => logs.lag().pumpedBytes > 150n);
    print(20);
    expect(await logs.drain(ID, 300)).to.equal(false);
    rmSync(node.target.logDirectory);
    expect(await logs.drain(ID, 20_000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(
      Array.from({ length: 21 }, (_, i) => String(3 + i)),
    );
  });

  it("is left where the kubelet renames it to, until it asks for the reopening", async () => {
    renameSync(node.logFile, `${node.logFile}.20260102-030405`);
    print(1);
    await until("line 3", () => contents(`${node.logFile}.20260102-030405`).length === 4);
    expect(existsSync(node.logFile)).to.equal(false);
    await logs.reopen(ID);
    print(1);
    expect(await logs.drain(ID, 20_000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(["4"]);
  });
});
