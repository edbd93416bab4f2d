import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PositionStore } from "../../../src/logs/position.ts";
import { createWorkspace, Pump } from "../../../src/logs/pump.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { entry, JsonFileWriter } from "./json-file-writer.ts";
import { ID, makeNode, type Node } from "./setup.ts";

describe("pump of one container", () => {
  let node: Node;
  beforeEach(() => {
    node = makeNode();
    mkdirSync(join(node.stateDir, "logs"), { recursive: true });
  });
  afterEach(async () => {
    await node.cleanUp();
  });

  it("never has more than a few megabytes that its saved position does not know", async () => {
    const positions = new PositionStore(join(node.stateDir, "logs"));
    const writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 1 << 26, maxFiles: 2 });
    const lines = Buffer.concat(Array.from({ length: 500 }, () => entry(Buffer.alloc(2000, 0x61))));
    for (let i = 0; i < 20; i += 1) writer.write(lines);
    const pump = new Pump(node.target, {
      clock: systemClock,
      positions,
      counts: { pumpedBytes: 0n, lostBytes: 0n, unreadable: 0 },
      mostUnlinkedBytes: 1 << 26,
    });
    await pump.open({ mustHavePosition: false });
    const space = createWorkspace();
    let done = 0;
    for (let atEnd = false; !atEnd;) {
      const round = await pump.round(space);
      atEnd = round.atEnd;
      done += round.bytes;
      const saved = await positions.load(ID);
      expect(done - (saved?.source?.offset ?? 0)).to.be.lessThan(7_000_000);
    }
    expect(done).to.equal(lines.length * 20);
    await pump.close();
    const saved = await positions.load(ID);
    expect(saved?.source?.offset).to.equal(done);
    expect(saved?.target.length).to.be.greaterThan(20_000_000);
    writer.close();
  });
});
