import { appendFileSync, truncateSync } from "node:fs";
import { expect } from "chai";
import { inspect, logPathOf, readCriLog, until, withContainer } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { containerConfig, hostSandboxConfig, removePod, runPod, shell } from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";

// What a power cut, or a program that cuts Docker's files short in place, leaves in them.
describe("holes in Docker's log file", function () {
  this.timeout(60_000);
  let node: TestNode;
  let pod: RunningPod;
  before(async () => {
    node = await startNode({ withoutNetwork: true });
    pod = await runPod(node, hostSandboxConfig(node));
  });
  after(async () => {
    await removePod(node, pod);
    await node.close();
  });

  it("are passed over: the lines around them are there once, over a restart too", async () => {
    const one = containerConfig("echo line 1; exec sleep 1000");
    await withContainer(node, pod, one, async (containerId) => {
      const source = (await inspect(node, containerId)).LogPath;
      const lines = (): string[] => readCriLog(logPathOf(pod, one)).map(({ text }) => text);
      const has = (text: string) => until(`"${text}" is in the log`, () => lines().includes(text));
      const print = async (text: string): Promise<void> => {
        await shell(node, containerId, `echo ${text} > /proc/1/fd/1`);
        await has(text);
      };
      await has("line 1");
      const nul = Buffer.alloc(4096);
      appendFileSync(source, nul);
      await print("line 2");
      // Longer than what is read at once.
      appendFileSync(source, Buffer.alloc(3 << 20));
      await print("line 3");
      appendFileSync(source, "\0\0\n\0\0\n");
      await print("line 4");
      appendFileSync(source, '{"log":"half a line');
      await node.kill();
      await node.start();
      await print("line 5");
      // The writer goes on where it was, or at the new end: a hole or none.
      truncateSync(source, 0);
      await print("line 6");
      truncateSync(source, 0);
      appendFileSync(source, nul);
      await print("line 7");
      const own = lines().filter((text) => text.startsWith("line "));
      expect(own).to.deep.equal([1, 2, 3, 4, 5, 6, 7].map((number) => `line ${number}`));
      expect(lines().filter((text) => text.includes("\0") || text.includes("half"))).to.deep.equal(
        [],
      );
    });
  });
});
