import { expect } from "chai";
import { chmodSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { once } from "node:events";
import { createConnection, createServer } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDoor } from "../../../src/nri/door.ts";
import { until } from "../../support/until.ts";

const nobody = () => Promise.resolve();

describe("the socket for NRI plugins", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "dockline-nri-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it("is for root alone, and refuses a folder that others may write", async () => {
    const path = join(folder, "nri", "nri.sock");
    const door = await openDoor(path, 5_000, nobody);
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    expect(statSync(join(folder, "nri")).mode & 0o777).to.equal(0o700);
    await door.close();
    chmodSync(folder, 0o777);
    const why = await openDoor(join(folder, "nri.sock"), 5_000, nobody).catch(String);
    expect(why).to.match(/can be written by others than root/);
    expect(await openDoor("@abstract", 5_000, nobody).catch(String)).to.match(/no absolute path/);
  });

  it("is not taken from another runtime", async () => {
    const path = join(folder, "nri.sock");
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(path, resolve));
    expect(await openDoor(path, 5_000, nobody).catch(String)).to.match(/somebody else is serving/);
    await new Promise((resolve) => other.close(resolve));
  });

  it("lets in who speaks, with all that was said, and ends who does not", async () => {
    const path = join(folder, "nri.sock");
    const came: Socket[] = [];
    const door = await openDoor(path, 100, (socket) => Promise.resolve(void came.push(socket)));
    const silent = createConnection(path).resume();
    const speaking = createConnection(path).resume();
    speaking.write("hello");
    await once(silent, "close");
    await until(() => came.length === 1);
    const [socket] = came;
    const heard: string[] = [];
    socket?.on("data", (chunk: Buffer) => heard.push(String(chunk)));
    socket?.resume();
    speaking.end(" again");
    await once(speaking, "close");
    expect(heard.join("")).to.equal("hello again");
    expect(came).to.have.length(1);
    await door.close();
  });
});
