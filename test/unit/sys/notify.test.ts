import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { notifyReady } from "../../../src/sys/notify.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const rejected = (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => "no error", String);

describe("systemd", () => {
  let folder: ReturnType<typeof tempFolder>;
  let said: string;
  beforeEach(() => {
    folder = tempFolder();
    said = folder.path("said");
  });
  afterEach(() => {
    folder.remove();
  });
  const program = (text: string): string => {
    const path = folder.path("notify");
    writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return path;
  };

  it("is notified where it asks to be, in the name of this process", async () => {
    const notify = program(`echo "$NOTIFY_SOCKET $PPID $*" >${said}`);
    await notifyReady({ NOTIFY_SOCKET: "/run/n", SECRET: "x" }, notify);
    expect(readFileSync(said, "utf8")).to.equal(`/run/n ${process.pid} --ready\n`);
  });

  it("is left alone elsewhere", async () => {
    const notify = program(`touch ${said}`);
    await notifyReady({}, notify);
    await notifyReady({ NOTIFY_SOCKET: "" }, notify);
    expect(existsSync(said)).to.equal(false);
  });

  it("that cannot be reached is an error", async () => {
    const asked = { NOTIFY_SOCKET: "/run/n" };
    expect(await rejected(notifyReady(asked, program("echo no >&2; exit 3")))).to.match(/3: no/);
    expect(await rejected(notifyReady(asked, folder.path("missing")))).to.match(/missing/);
  });
});
