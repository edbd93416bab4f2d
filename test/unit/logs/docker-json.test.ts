import { mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect } from "chai";
import { ID, makeNode, rejection, type Node } from "./setup.ts";

describe("container logs in the docker-json form", () => {
  let node: Node;
  beforeEach(() => {
    node = makeNode();
  });
  afterEach(async () => {
    await node.cleanUp();
  });

  it("are a symlink to Docker's file, made again by reopen and resume", async () => {
    const logs = node.make();
    const target = { ...node.target, format: "docker-json" as const };
    await logs.start(target);
    expect(readlinkSync(node.logFile)).to.equal(target.sourcePath);
    renameSync(node.logFile, `${node.logFile}.1`);
    await logs.reopen(ID);
    expect(readlinkSync(node.logFile)).to.equal(target.sourcePath);
    expect(await logs.drain(ID, 10)).to.equal(true);
    await logs.close();
    const next = node.make();
    rmSync(node.logFile);
    await next.resume([target]);
    expect(readlinkSync(node.logFile)).to.equal(target.sourcePath);
    await next.remove(ID);
    expect(() => readlinkSync(node.logFile)).to.throw("ENOENT");
    expect((await rejection(next.start({ ...target, logPath: "../x" }))).kind).to.equal(
      "InvalidArgument",
    );
  });

  it("do not keep a container from starting when the link's name is taken", async () => {
    mkdirSync(dirname(node.logFile), { recursive: true });
    writeFileSync(node.logFile, "text");
    const logs = node.make();
    await logs.start({ ...node.target, format: "docker-json" });
    await logs.remove(ID);
    expect(readFileSync(node.logFile, "utf8")).to.equal("text");
  });
});
