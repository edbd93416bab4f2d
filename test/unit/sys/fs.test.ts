import { chmodSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import {
  ensurePrivateFolder,
  isErrno,
  readTextIfExists,
  unlinkIfExists,
  writeFileAtomic,
} from "../../../src/sys/fs.ts";
import { lockFolder } from "../../../src/sys/instance-lock.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("files", () => {
  let folder: ReturnType<typeof tempFolder>;
  beforeEach(() => {
    folder = tempFolder();
  });
  afterEach(() => {
    folder.remove();
  });

  it("are written whole or not at all, with their mode, and leave nothing beside", async () => {
    const path = folder.path("a");
    await writeFileAtomic(path, "one");
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    await writeFileAtomic(path, new Uint8Array([50]), 0o644);
    expect(readFileSync(path, "utf8")).to.equal("2");
    expect(statSync(path).mode & 0o777).to.equal(0o644);
    mkdirSync(folder.path("taken/by"), { recursive: true });
    const failed = await writeFileAtomic(folder.path("taken"), "x").catch(
      (error: unknown) => error,
    );
    expect(failed).to.be.instanceOf(Error);
    expect(readdirSync(folder.path("."))).to.have.members(["a", "taken"]);
  });

  it("that are not there are no error where that is meant", async () => {
    expect(await readTextIfExists(folder.path("no"))).to.equal(undefined);
    expect(await readTextIfExists(folder.path("no/where"))).to.equal(undefined);
    await unlinkIfExists(folder.path("no"));
    const failed = await readTextIfExists(folder.path(".")).catch((error: unknown) => error);
    expect(isErrno(failed, "EISDIR")).to.equal(true);
    expect(isErrno(undefined, "EISDIR")).to.equal(false);
  });

  it("private folders are made so, and corrected", async () => {
    await ensurePrivateFolder(folder.path("x/y"));
    expect(statSync(folder.path("x/y")).mode & 0o777).to.equal(0o700);
    chmodSync(folder.path("x/y"), 0o777);
    await ensurePrivateFolder(folder.path("x/y"));
    expect(statSync(folder.path("x/y")).mode & 0o777).to.equal(0o700);
  });

  it("a folder is locked once, and again after its holder died, whoever has its pid", () => {
    const lock = lockFolder(folder.path("."));
    expect(() => lockFolder(folder.path("."))).to.throw(`pid ${process.pid}`);
    lock.release();
    lock.release();
    // Our own pid, but of a process that started at another time.
    writeFileSync(folder.path("lock"), `${process.pid} 1`);
    lockFolder(folder.path(".")).release();
    writeFileSync(folder.path("lock"), "");
    lockFolder(folder.path(".")).release();
    expect(readdirSync(folder.path("."))).to.deep.equal([]);
  });

  it("a lock that another one took over is not released", () => {
    const lock = lockFolder(folder.path("."));
    writeFileSync(folder.path("lock"), "1 1");
    lock.release();
    expect(readFileSync(folder.path("lock"), "utf8")).to.equal("1 1");
  });
});
