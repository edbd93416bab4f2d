import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";

interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Node's pipes are sockets, as the journal's stdout is. Unread: nobody takes a byte of stdout. */
async function run(script: string, args: string[], unread: boolean): Promise<Ended> {
  const path = join(import.meta.dirname, script);
  const child = spawn(process.execPath, ["--no-warnings", path, ...args]);
  const exit = once(child, "exit") as Promise<[number | null, string | null]>;
  const stderr = text(child.stderr);
  if (!unread) {
    const stdout = text(child.stdout);
    const [code, signal] = await exit;
    return { code, signal, stdout: await stdout, stderr: await stderr };
  }
  const said = await Promise.race([stderr, once(child.stderr, "data").then(String)]);
  const late = setTimeout(() => child.kill("SIGKILL"), 50_000);
  // What waits in the pipe is read at last, for the process that goes on.
  const stdout = args[0] === "unread" ? Promise.resolve("") : text(child.stdout);
  const [code, signal] = await exit;
  clearTimeout(late);
  child.stdout.destroy();
  return { code, signal, stdout: await stdout, stderr: said };
}

describe("the log of the process", function () {
  // Each test starts a process of its own.
  this.timeout(60_000);

  it("never waits for a reader that stalls, drops what is too much, and says how much", async () => {
    const { stderr, stdout } = await run("unread-log.ts", [], true);
    // It would not have come to say so if a line had waited for a reader.
    const { lines, written } = JSON.parse(stderr) as Record<string, number>;
    expect(written).to.equal(false);
    const read = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, number>);
    expect(read.slice(0, -1).map(({ n }) => n)).to.deep.equal(read.slice(0, -1).map((_, n) => n));
    expect(read.length - 1 + (read.at(-1)?.["lines"] ?? 0)).to.equal(lines);
    expect(read.at(-1)?.["msg"]).to.match(/dropped because nobody read/);
  });

  it("changes level and form while it runs, for all its children, and adds names", async () => {
    const { stdout } = await run("lines.ts", [], false);
    const [first = "", ...texts] = stdout.trim().split("\n");
    expect(JSON.parse(first)).to.include({
      ...{ level: "info", rpc: "StopContainer", pod: "web", namespace: "shop", n: 2 },
      msg: "call",
    });
    expect(texts.map((line) => line.replace(/^\S+Z /, ""))).to.deep.equal([
      'DEBUG call  rpc=StopContainer pod="its own" namespace=shop n=3 containerId=c1',
      String.raw`ERROR failed  err="two \"words\"\nand lines"`,
    ]);
  });

  it("has the reason when an exception that nobody caught ends the process", async () => {
    const { code, stdout, stderr } = await run("crash.ts", [], false);
    expect(code).to.equal(1);
    expect(stdout).to.match(/"level":"error".*out of a timer.*uncaught exception, dockline ends/);
    // Once: stderr is most often the same journal, and waits for it when it stalls.
    expect(stderr).not.to.match(/out of a timer/);
  });

  it("does not keep a process alive that an exception ends while nobody reads", async () => {
    const { code, signal, stderr } = await run("crash.ts", ["unread"], true);
    expect([code, signal]).to.deep.equal([null, "SIGKILL"]);
    expect(stderr).to.match(/out of a timer/);
  });

  it("leaves the reason to stderr where it is silent", async () => {
    const { code, stdout, stderr } = await run("crash.ts", ["silent"], false);
    expect([code, stdout]).to.deep.equal([1, ""]);
    expect(stderr).to.match(/uncaught exception: Error: out of a timer/);
  });

  it("has a rejected promise that nobody waited for, and the process goes on", async () => {
    const { code, stdout } = await run("crash.ts", ["rejection"], false);
    expect(code).to.equal(0);
    expect(stdout).to.match(/nobody waits.*unhandled rejection/);
  });
});
