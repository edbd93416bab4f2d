import { spawn } from "node:child_process";
import { once } from "node:events";
import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { JsonFileWriter } from "./json-file-writer.ts";
import { contents, ID, makeNode, type Node } from "./setup.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts a pump in a process of its own, lets it run for a while and kills it with -9. */
async function pumpAndKill(node: Node, ms: number): Promise<void> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, "pump-process.ts"), node.stateDir, JSON.stringify(node.target)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  await pause(ms);
  child.kill("SIGKILL");
  await exited;
}

describe("container logs after kill -9", () => {
  let node: Node;
  beforeEach(() => {
    node = makeNode();
  });
  afterEach(async () => {
    await node.cleanUp();
  });

  for (const losesState of [false, true])
    it(`hold every line once, wherever the pump was killed${losesState ? ", without its state too" : ""}`, async function () {
      this.timeout(30_000);
      const writer = new JsonFileWriter(node.target.sourcePath, {
        maxSize: 3_000_000,
        maxFiles: 4,
      });
      let written = 0;
      let writing = true;
      const padding = "z".repeat(120);
      const work = (async () => {
        while (writing) {
          for (let i = 0; i < 20; i += 1) writer.line(`${String(written++)} ${padding}`);
          await pause(3);
        }
      })();
      const rotated: string[] = [];
      try {
        for (let round = 0; round < 6; round += 1) {
          await pumpAndKill(node, Math.random() * 200 + (round === 3 ? 1100 : 0));
          if (round === 4) {
            // The kubelet's rename was the last that happened; its reopen found nobody.
            const name = `${node.logFile}.20260102-030405`;
            renameSync(node.logFile, name);
            rotated.push(name);
          }
          if (losesState && (round === 2 || round === 4))
            rmSync(node.stateDir, { recursive: true });
        }
      } finally {
        writing = false;
        await work;
      }
      const logs = node.make();
      await logs.resume([{ ...node.target, running: true }]);
      expect(await logs.drain(ID, 5000)).to.equal(true);
      const got = [...rotated, node.logFile]
        .flatMap(contents)
        .map((line) => Number.parseInt(line, 10));
      expect(got.length).to.equal(written);
      expect(got.every((value, index) => value === index)).to.equal(true);
      expect(logs.lag().lostBytes).to.equal(0n);
      writer.close();
    });
});
