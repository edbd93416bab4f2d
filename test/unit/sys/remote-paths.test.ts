import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { forkCount } from "../../../src/sys/process.ts";
import { NoAnswer, RemotePaths } from "../../../src/sys/remote-paths.ts";
import { until } from "../../support/containers.ts";
import { mountFuse, type FuseMount } from "../../support/fuse.ts";

describe("sys/remote-paths", function () {
  this.timeout(20_000);
  let folder: string;
  let fuse: FuseMount | undefined;
  let paths: RemotePaths;
  const mounted = (...names: string[]): string => join(folder, "m", ...names);
  const failure = async (work: Promise<unknown>): Promise<unknown> =>
    await work.then(
      () => undefined,
      (error: unknown) => error,
    );
  const elapsed = async (work: Promise<unknown>): Promise<number> => {
    const start = performance.now();
    await work;
    return performance.now() - start;
  };

  before(function () {
    // It mounts a file system of its own.
    if (process.getuid?.() !== 0 || !existsSync("/dev/fuse")) this.skip();
  });
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "dockline-remote-"));
    mkdirSync(mounted());
    fuse = await mountFuse(mounted());
    paths = new RemotePaths(1_000);
  });
  afterEach(async () => {
    paths.close();
    await fuse?.close();
    rmSync(folder, { recursive: true });
  });

  it("are made by programs that end", async () => {
    const calls = paths.on(mounted());
    expect(await calls.look(mounted())).to.equal("folder");
    expect(await calls.look(mounted("file"))).to.equal("other");
    await calls.makeFolder(mounted("made"));
    expect(statSync(mounted("made")).isDirectory()).to.equal(true);
    const error = await failure(calls.look(mounted("missing")));
    expect(error).to.include({ code: "ENOENT", message: "No such file or directory" });
    symlinkSync("to: here\n", join(folder, "link"));
    expect(await calls.look(join(folder, "link"))).to.deep.equal({ link: "to: here\n" });
    await calls.makeFolder(mounted("made"));
    await calls.makeFolders(mounted("made"));
    await calls.makeFolders(mounted("a/b"));
    expect(await calls.look(mounted("a/b"))).to.equal("folder");
    expect(await failure(calls.makeFolder(mounted("file/x")))).to.include({
      message: "Not a directory",
    });
    expect(children()).to.deep.equal([]);
  });

  it("makes folders of mode 0755 all the way, whatever the umask is", async () => {
    const before = process.umask(0o077);
    try {
      await paths.on("/").makeFolders(join(folder, "deep/er/est"));
    } finally {
      process.umask(before);
    }
    for (const path of ["deep", "deep/er", "deep/er/est"])
      expect(statSync(join(folder, path)).mode & 0o7777, path).to.equal(0o755);
  });

  it("goes on when a program cannot be started, also one that waited for its turn", async () => {
    const calls = paths.on("/");
    // The kernel takes no argument of this length (E2BIG), which Node throws.
    const endless = `/${"x".repeat(200_000)}`;
    const asked = ["/etc", endless, "/usr"].map(async (path) => await calls.look(path));
    const [first, failed, last] = await Promise.allSettled(asked);
    expect([first, last].map((one) => one?.status)).to.deep.equal(["fulfilled", "fulfilled"]);
    expect(failed).to.have.nested.property("reason.message", "spawn E2BIG");
    expect(await calls.look("/etc")).to.equal("folder");
  });

  it("asks once for all that wait for the same answer", async () => {
    const calls = paths.on(mounted());
    const before = forkCount();
    const asked = Array.from({ length: 20 }, () => calls.look(mounted("file")));
    expect(new Set(await Promise.all(asked))).to.deep.equal(new Set(["other"]));
    expect(forkCount() - before).to.equal(2);
  });

  it("does not take a server with much to do for a dead one", async () => {
    paths = new RemotePaths(5_000);
    const calls = paths.on(mounted());
    const asked = Array.from({ length: 8_000 }, (_, at) => calls.look(mounted(`missing${at}`)));
    const errors = await Promise.all(asked.map(failure));
    const late = errors.filter((error) => error instanceof NoAnswer);
    for (const { message } of late) expect(message).to.match(/ is slow: other calls have kept it/);
    expect(late.length).to.be.within(1, 7_999);
    expect(await calls.look(mounted("file"))).to.equal("other");
  });

  it("gives up on a server that reads nothing, and works again when that does", async () => {
    const calls = paths.on(mounted());
    fuse?.hang();
    const looks = Array.from({ length: 8 }, (_, at) => failure(calls.look(mounted(`x${at}`))));
    expect(await elapsed(Promise.all(looks))).to.be.lessThan(4_000);
    for (const error of await Promise.all(looks)) {
      expect(error).to.be.instanceOf(NoAnswer);
      expect((error as Error).message).to.include(`at ${mounted()} has not answered for 1 s`);
    }
    await until("no process is left", () => children().length === 0);
    // Other file systems are others' processes.
    expect(await paths.on("/").look(folder)).to.equal("folder");
    fuse?.resume();
    expect(await calls.look(mounted("file"))).to.equal("other");
  });

  it("answers at once while a process waits that cannot be killed", async () => {
    const calls = paths.on(mounted());
    await fuse?.swallow();
    expect(await failure(calls.look(mounted("x")))).to.be.instanceOf(NoAnswer);
    const again = failure(calls.look(mounted("x")));
    expect(await elapsed(again)).to.be.lessThan(500);
    expect(((await again) as Error).message).to.match(
      /has not answered since .*, and the process that waits for it cannot be killed/,
    );
    await fuse?.close();
    fuse = await mountFuse(mounted());
    // The process has ended: the next call gets another one.
    await until("it works", async () => (await failure(calls.look(mounted("file")))) === undefined);
  });
});

/** Processes of this one's that look at paths. */
function children(): string[] {
  const found = execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(process.pid)], {
    encoding: "utf8",
  });
  return found.split("\n").filter((line) => / (timeout|stat|mkdir) /.test(line));
}
