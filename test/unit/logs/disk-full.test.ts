import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { JsonFileWriter } from "./json-file-writer.ts";
import { contents, ID, makeNode, until, type Node } from "./setup.ts";

describe("container logs on a full disk", () => {
  let node: Node;
  let disk: string;
  beforeEach(function () {
    node = makeNode();
    disk = join(node.root, "pods");
    mkdirSync(disk);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]);
    if (mounted.status !== 0) {
      process.stdout.write("      skipped: a tmpfs can't be mounted here, which takes root\n");
      this.skip();
    }
  });
  afterEach(async () => {
    spawnSync("umount", ["-l", disk]);
    await node.cleanUp();
  });

  it("wait for room, without a torn, lost or doubled line, and reopen meanwhile", async () => {
    const writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 1 << 24, maxFiles: 4 });
    const ballast = join(disk, "ballast");
    writeFileSync(ballast, Buffer.alloc(200_000));
    const logs = node.make();
    await logs.start(node.target);
    const count = 1500;
    for (let i = 0; i < count; i += 1) writer.line(`${String(i)} ${"w".repeat(60)}`);
    expect(await logs.drain(ID, 400)).to.equal(false);
    await logs.reopen(ID);
    expect(logs.lag().bytesBehind).to.be.greaterThan(0);
    rmSync(ballast);
    expect(await logs.drain(ID, 4000)).to.equal(true);
    const got = contents(node.logFile);
    expect(got.map((line) => Number.parseInt(line, 10))).to.deep.equal(
      Array.from({ length: count }, (_, i) => i),
    );
    expect(logs.lag().pumpedBytes).to.equal(BigInt(statSync(node.logFile).size));
    writer.close();
  });

  it("have no torn line when somebody empties them to make room, and the disk is full again", async () => {
    const writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 1 << 24, maxFiles: 4 });
    const ballast = join(disk, "ballast");
    writeFileSync(ballast, Buffer.alloc(200_000));
    const logs = node.make();
    await logs.start(node.target);
    const line = (i: number): string => `${String(i)} ${"w".repeat(61)}`;
    const print = async (from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i += 1) writer.line(line(i));
      expect(await logs.drain(ID, 400)).to.equal(false);
    };
    for (let i = 0; i < 300; i += 1) writer.line(line(i));
    await until("the first lines", () => contents(node.logFile).length === 300, 20_000);
    await print(300, 1200);
    truncateSync(node.logFile, 0);
    await print(1200, 2000);
    rmSync(ballast);
    expect(await logs.drain(ID, 20_000)).to.equal(true);
    const got = contents(node.logFile);
    expect(got).to.deep.equal(got.map((_, at) => line(2000 - got.length + at)));
    writer.close();
  });
});
