import { once } from "node:events";
import { connect, createServer, Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { destroyOnceIdle, takenBytes, untilStalled } from "../../../src/streaming/stalled.ts";
import { until } from "../../support/until.ts";

describe("a client that takes output slowly", function () {
  this.timeout(60_000);
  const open: { destroy(): void }[] = [];
  let flows: boolean;
  afterEach(() => {
    for (const socket of open.splice(0)) socket.destroy();
  });

  /**
   * Both ends of a TCP connection, and more to send than the kernel keeps. The client takes no more
   * than 4 KiB from the kernel each time it is resumed, until it flows.
   */
  const connection = async (): Promise<{ ours: Socket; client: Socket }> => {
    flows = false;
    const server = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = connect({
      ...{ port: (server.address() as AddressInfo).port, host: "127.0.0.1" },
      onread: { buffer: Buffer.alloc(4_096), callback: () => flows },
    });
    const [ours] = (await once(server, "connection")) as [Socket];
    server.close();
    for (const socket of [ours, client]) {
      socket.on("error", () => undefined);
      open.push(socket);
    }
    client.pause();
    ours.write(Buffer.alloc(64 << 20));
    return { ours, client };
  };

  it("is not mistaken for one that has stopped, until it has", async () => {
    const { ours, client } = await connection();
    let drains = 0;
    ours.on("drain", () => (drains += 1));
    const read = setInterval(() => client.resume(), 100);
    const stalled = untilStalled([ours], () => takenBytes(ours), 1_000);
    let gone = false;
    void stalled.promise.then(() => (gone = true));
    await until(() => gone || client.bytesRead > 128 << 10, 30_000);
    expect(gone, "while it reads").to.equal(false);
    expect(drains, "none of it showed as room for more").to.equal(0);
    clearInterval(read);
    await until(() => gone, 30_000, "it is let go");
    stalled.release();
  });

  it("is not cut off after the end of a connection, before it has stopped", async () => {
    const { ours, client } = await connection();
    const read = setInterval(() => client.resume(), 100);
    let cut = false;
    destroyOnceIdle(ours, 1_000, () => (cut = true));
    await until(() => cut || client.bytesRead > 128 << 10, 30_000);
    expect(cut, "while it reads").to.equal(false);
    clearInterval(read);
    await until(() => cut, 30_000, "it is cut off");
  });

  it("costs a connection that ends at once no look at the kernel's tables", () => {
    const ours = new Socket();
    let looks = 0;
    Object.defineProperty(ours, "localPort", { get: () => (looks += 1) });
    const stop = destroyOnceIdle(ours, 1_000, () => undefined);
    stop();
    expect(looks).to.equal(0);
  });

  it("changes the number of bytes that it has taken, and nobody else does", async () => {
    const { ours, client } = await connection();
    let before = -1;
    let same = 0;
    // What is on its way from one end to the other counts for both for a moment.
    await until(async () => {
      same = before === (before = await takenBytes(ours)) ? same + 1 : 0;
      return same === 8;
    });
    ours.write("more");
    expect(await takenBytes(ours)).to.equal(before);
    client.resume();
    await until(async () => (await takenBytes(ours)) === before + 4_096);
    flows = true;
    client.resume();
    await until(async () => (await takenBytes(ours)) === (64 << 20) + 4, 30_000);
  });
});
