import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect } from "chai";
import { endOrphanedPlugins } from "../../../src/network/orphans.ts";

describe("orphaned plugins", () => {
  it("of a container are ended with their children, nobody else is", async () => {
    const sleeper = (id: string) =>
      spawn("/bin/sh", ["-c", "sleep 100 & wait"], {
        env: { CNI_CONTAINERID: id, PATH: process.env["PATH"] ?? "" },
        stdio: "ignore",
      });
    const mine = sleeper("dockline-unit-test");
    const other = sleeper("dockline-unit-test-2");
    try {
      const ended = once(mine, "exit");
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(await endOrphanedPlugins("dockline-unit-test")).to.equal(2);
      expect((await ended)[1]).to.equal("SIGKILL");
      expect(other.exitCode ?? other.signalCode).to.equal(null);
      expect(await endOrphanedPlugins("dockline-unit-test")).to.equal(0);
    } finally {
      const gone = once(other, "exit");
      await endOrphanedPlugins("dockline-unit-test-2");
      await gone;
    }
  });
});
