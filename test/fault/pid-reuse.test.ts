import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";

describe("a pid that was given away again", () => {
  it("F25: is nobody's we knew: not killed, not mistaken for a plugin or for the lock's holder", () => {
    const program = join(import.meta.dirname, "pid-reuse.ts");
    const options = ["--disable-warning=ExperimentalWarning", program];
    const text = execFileSync(
      "unshare",
      ["--pid", "--fork", "--mount-proc", "--kill-child", process.execPath, ...options],
      { encoding: "utf8", timeout: 30_000 },
    );
    expect(JSON.parse(text)).to.deep.equal({
      ran: true,
      held: true,
      samePid: true,
      stillRunning: false,
      killedOfExec: 0,
      endedPlugins: 0,
      lockTaken: true,
      impostorLives: true,
    });
  });
});
