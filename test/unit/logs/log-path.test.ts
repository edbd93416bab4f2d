import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { makeLogLink, removeLogLink } from "../../../src/logs/link.ts";
import { openLogFile, resolveLogPath } from "../../../src/logs/log-path.ts";

async function kindOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return "none";
  } catch (error) {
    return (error as { kind?: string }).kind ?? String(error);
  }
}

describe("log paths", () => {
  let root: string;
  let logs: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "dockline-path-"));
    logs = join(root, "logs");
    mkdirSync(logs);
  });
  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });

  for (const name of [
    "",
    ".",
    "..",
    "../x",
    "../../etc/cron.d/x",
    "a/../../x",
    "a/",
    "nul\0.log",
    "n".repeat(256),
    "d/".repeat(2100) + "x",
  ])
    it(`refuse ${JSON.stringify(name.slice(0, 30))}`, async () => {
      expect(await kindOf(() => resolveLogPath(logs, name))).to.equal("InvalidArgument");
    });

  it("need an absolute folder, which a sibling with the same beginning is not", async () => {
    for (const folder of ["", "logs", "/a\0b"])
      expect(await kindOf(() => resolveLogPath(folder, "0.log"))).to.equal("InvalidArgument");
    expect(await kindOf(() => resolveLogPath(logs, "../logs-other/x"))).to.equal("InvalidArgument");
  });

  it("stay within the folder when absolute or roundabout", () => {
    expect(resolveLogPath("/var/log/../log/pods/", "/a//b/../0.log").full).to.equal(
      "/var/log/pods/a/0.log",
    );
  });

  it("are not opened through symlinks below or at the log directory, nor at the end", async () => {
    const outside = join(root, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "0.log"), "precious");
    symlinkSync(outside, join(logs, "app"));
    symlinkSync(join(outside, "0.log"), join(logs, "1.log"));
    symlinkSync(logs, join(root, "link"));
    symlinkSync(join(outside, "new"), join(logs, "dangling"));
    for (const [folder, name] of [
      [logs, "app/0.log"],
      [logs, "1.log"],
      [logs, "dangling"],
      [join(root, "link"), "2.log"],
    ] as const)
      expect(await kindOf(() => openLogFile(resolveLogPath(folder, name)))).to.equal(
        "InvalidArgument",
      );
    expect(readFileSync(join(outside, "0.log"), "utf8")).to.equal("precious");
    expect(existsSync(join(outside, "new"))).to.equal(false);
  });

  it("are not opened when a folder has the name, or a file that of a folder", async () => {
    mkdirSync(join(logs, "0.log"));
    writeFileSync(join(logs, "file"), "");
    for (const name of ["0.log", "file/0.log"])
      expect(await kindOf(() => openLogFile(resolveLogPath(logs, name)))).to.equal(
        "InvalidArgument",
      );
  });

  it("lead nowhere else while folders are swapped for symlinks", async function () {
    this.timeout(60_000);
    const outside = join(root, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "0.log"), "precious");
    mkdirSync(join(logs, "app"));
    const path = resolveLogPath(logs, "app/0.log");
    const app = join(logs, "app");
    const swaps = join(import.meta.dirname, "swapping-process.ts");
    const swapping = spawn(process.execPath, [swaps, app, outside], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(swapping, "exit");
    await once(swapping.stdout, "data");
    const wanted = 200;
    let opened = 0;
    let refused = 0;
    const endMs = performance.now() + 40_000;
    while ((opened < wanted || refused < wanted) && performance.now() < endMs) {
      try {
        const file = openLogFile(path);
        opened += 1;
        writeSync(file, "line\n");
        closeSync(file);
      } catch {
        refused += 1;
      }
    }
    swapping.kill("SIGKILL");
    await ended;
    expect(refused).to.be.at.least(wanted);
    expect(opened).to.be.at.least(wanted);
    expect(readFileSync(join(outside, "0.log"), "utf8")).to.equal("precious");
  });
});

describe("log links", () => {
  const id = "d".repeat(64);
  let root: string;
  let source: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "dockline-link-"));
    source = join(root, "containers", id, `${id}-json.log`);
  });
  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });
  const path = () => resolveLogPath(join(root, "pods/x"), "app/0.log");

  it("are made, made again, replace that of a container before, and are removed", () => {
    const { full } = path();
    makeLogLink(path(), source);
    expect(readlinkSync(full)).to.equal(source);
    makeLogLink(path(), source);
    rmSync(full);
    const before = "e".repeat(64);
    symlinkSync(join(root, "containers", before, `${before}-json.log`), full);
    makeLogLink(path(), source);
    expect(readlinkSync(full)).to.equal(source);
    removeLogLink(path(), source);
    expect(existsSync(full)).to.equal(false);
    removeLogLink(path(), source);
    rmSync(join(root, "pods"), { recursive: true });
    removeLogLink(path(), source);
    expect(existsSync(join(root, "pods"))).to.equal(false);
  });

  it("neither replace nor remove what is not ours", async () => {
    const { full } = path();
    mkdirSync(join(root, "pods/x/app"), { recursive: true });
    writeFileSync(full, "text");
    expect(await kindOf(() => makeLogLink(path(), source))).to.equal("FailedPrecondition");
    removeLogLink(path(), source);
    expect(readFileSync(full, "utf8")).to.equal("text");
    rmSync(full);
    symlinkSync("/etc/passwd", full);
    expect(await kindOf(() => makeLogLink(path(), source))).to.equal("FailedPrecondition");
    removeLogLink(path(), source);
    expect(lstatSync(full).isSymbolicLink()).to.equal(true);
  });
});
