import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect } from "chai";
import { killExecTree } from "../../../src/sys/process-tree.ts";

describe("an exec with many processes", () => {
  it("is killed whole, and other work goes on meanwhile", async () => {
    const shell = spawn("/bin/sh", ["-c", "for i in $(seq 300); do sleep 100 & done; echo; wait"], {
      stdio: ["ignore", "pipe", "ignore"],
      detached: true,
    });
    await once(shell.stdout, "data");
    shell.stdout.destroy();
    let turns = 0;
    let busy = true;
    const turn = (): void => {
      turns += 1;
      if (busy) setImmediate(turn);
    };
    setImmediate(turn);
    const ended = once(shell, "exit");
    // Each line of /proc/<pid>/cgroup has these two characters, as it has a container's id.
    const killed = await killExecTree(shell.pid ?? 0, ":/");
    busy = false;
    await ended;
    expect(killed).to.equal(301);
    expect(turns).to.be.above(2);
  });
});
