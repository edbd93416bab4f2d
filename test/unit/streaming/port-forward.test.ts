import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { encodeRstStream } from "../../../src/streaming/spdy/frames.ts";
import { listenInPod, localDialler, openPair, serveForward } from "../../support/port-forward.ts";
import type { PodServer } from "../../support/port-forward.ts";
import { until } from "../../support/until.ts";

describe("port-forward", () => {
  let pod: PodServer | undefined;
  let port: number;
  let connections: Socket[];

  const listen = async (onConnection: (socket: Socket) => void): Promise<void> => {
    pod = await listenInPod(onConnection);
    ({ port, connections } = pod);
  };
  afterEach(() => pod?.close());

  it("passes half-closes on both ways", async () => {
    await listen((socket) => {
      socket.write("first");
      const chunks: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.on("end", () => socket.end(`got ${Buffer.concat(chunks).toString()}`));
    });
    const { client, over } = serveForward(localDialler.dial);
    const [data, error] = openPair(client, port, "0");
    await client.until(() => client.received(data).text === "first");
    client.send(data, "abc", true);
    await client.until(() => client.received(error).fin);
    expect(client.received(data)).to.deep.equal({ text: "firstgot abc", fin: true });
    expect(client.received(error).text).to.equal("");
    expect(client.has("rstStream")).to.equal(false);
    client.transport.destroy();
    await over;
  });

  it("keeps the client's direction open after the pod's has ended", async () => {
    let got = "";
    let ended: Promise<unknown> | undefined;
    await listen((socket) => {
      socket.end("bye");
      socket.on("data", (chunk: Buffer) => (got += chunk.toString()));
      ended = new Promise((resolve) => socket.once("end", resolve));
    });
    const { client, over } = serveForward(localDialler.dial);
    const [data, error] = openPair(client, port, "0");
    await client.until(() => client.received(data).fin);
    client.send(data, "still", true);
    await client.until(() => client.received(error).fin);
    await ended;
    expect(got).to.equal("still");
    client.transport.destroy();
    await over;
  });

  it("ends the error stream with the pod's side, and a client that stays silent a second later", async () => {
    await listen((socket) => socket.end("bye").resume());
    const { client, over } = serveForward(localDialler.dial);
    const [data, error] = openPair(client, port, "0");
    // Clients up to 1.31 end their own side only after this.
    const began = performance.now();
    await client.until(() => client.received(data).fin && client.received(error).fin);
    expect(performance.now() - began).to.be.below(900);
    expect(client.received(data).text).to.equal("bye");
    expect(client.received(error).text).to.equal("");
    expect(client.has("rstStream", data)).to.equal(false);
    await client.until(() => client.has("rstStream", data));
    await until(() => connections.every((socket) => socket.destroyed));
    client.transport.destroy();
    await over;
  });

  it("ends the error stream not before a client has stopped sending, and at once with its end", async () => {
    let got = "";
    await listen((socket) => {
      socket.end("bye");
      socket.on("data", (chunk: Buffer) => (got += chunk.toString()));
    });
    const { client, over } = serveForward(localDialler.dial);
    const uploads = [openPair(client, port, "0"), openPair(client, port, "1")] as const;
    await client.until(() => uploads.every(([data]) => client.received(data).fin));
    // A client of client-go 1.31 and before drops the connection, with what it has yet to send.
    for (let part = 0; part < 20; part += 1) {
      for (const [data, error] of uploads) {
        client.send(data, "x");
        expect(client.received(error).fin, `after ${part} parts`).to.equal(false);
      }
      await sleep(50);
    }
    const [[ending, itsError], [, silentError]] = uploads;
    client.send(ending, "", true);
    await client.until(() => client.received(itsError).fin);
    expect(client.received(silentError).fin).to.equal(false);
    await client.until(() => client.received(silentError).fin);
    expect(got).to.equal("x".repeat(40));
    client.transport.destroy();
    await over;
  });

  it("waits for a client that goes on sending after the pod has ended its side", async () => {
    let got = "";
    await listen((socket) => {
      socket.end("bye");
      socket.on("data", (chunk: Buffer) => (got += chunk.toString()));
    });
    const { client, over } = serveForward(localDialler.dial);
    const [data, error] = openPair(client, port, "0");
    await client.until(() => client.received(error).fin);
    for (let part = 0; part < 4; part += 1) {
      client.send(data, String(part));
      await sleep(500);
    }
    client.send(data, "end", true);
    await until(() => got === "0123end");
    expect(client.has("rstStream", data)).to.equal(false);
    client.transport.destroy();
    await over;
  });

  it("carries a thousand connections at once, refuses what is far beyond, and goes on", async () => {
    await listen((socket) => socket.pipe(socket));
    const { client, over, dials } = serveForward(localDialler.dial);
    const pairs = Array.from({ length: 1000 }, (_, at) => openPair(client, port, String(at)));
    for (const [data] of pairs) client.send(data, "ping");
    await client.until(() => client.frames.filter((frame) => frame.type === "data").length >= 1000);
    for (const [data] of pairs) expect(client.received(data).text).to.equal("ping");
    expect(client.has("rstStream")).to.equal(false);
    const beyond = Array.from({ length: 3000 }, (_, at) =>
      client.open({ streamtype: "error", port: "80", requestid: `x${at}` }),
    );
    await client.until(() => client.has("rstStream", beyond.at(-1)));
    expect(client.has("goAway")).to.equal(false);
    expect(dials.length, "dials for halves of pairs").to.equal(1000 + 64);
    const [data] = pairs[999]!;
    client.send(data, "pong", true);
    await client.until(() => client.received(data).fin);
    expect(client.received(data).text).to.equal("pingpong");
    client.transport.destroy();
    await over;
  }).timeout(60_000);

  it("tells why a port is refused, on that stream alone", async () => {
    await listen((socket) => socket.pipe(socket));
    const { client, over } = serveForward(localDialler.dial);
    const [good] = openPair(client, port, "0");
    const closed = await new Promise<number>((resolve) => {
      const probe = createServer().listen(0, "127.0.0.1", () => {
        const free = (probe.address() as AddressInfo).port;
        probe.close(() => resolve(free));
      });
    });
    const [bad, error] = openPair(client, closed, "1");
    await client.until(() => client.received(error).fin && client.has("rstStream", bad));
    expect(client.received(error).text).to.contain(`port ${closed} to pod pod1`);
    expect(client.received(error).text).to.contain("127.0.0.1: connection refused");
    expect(client.received(error).text).to.contain("::1: ");
    client.send(good, "alive");
    await client.until(() => client.received(good).text === "alive");
    client.transport.destroy();
    await over;
  });

  it("resets the stream, without a message, when the pod resets the connection", async () => {
    await listen((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const { client, over } = serveForward(localDialler.dial);
    const [data, error] = openPair(client, port, "0");
    client.send(data, "x");
    await client.until(() => client.has("rstStream", data) && client.received(error).fin);
    expect(client.received(error).text).to.equal("");
    client.transport.destroy();
    await over;
  });

  it("closes the pod's connection when the client resets its stream", async () => {
    await listen((socket) => socket.resume());
    const { client, over } = serveForward(localDialler.dial);
    const [data, error] = openPair(client, port, "0");
    await client.until(() => client.has("synReply", data));
    client.send(data, "x");
    while (connections.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const ended = new Promise((resolve) => connections[0]!.once("end", resolve));
    client.transport.write(encodeRstStream(data, 5));
    await ended;
    await client.until(() => client.received(error).fin);
    client.transport.destroy();
    await over;
  });

  it("gives a slow client everything although the pod has closed", async () => {
    await listen((socket) => socket.end(Buffer.alloc(3_000_000, "z")).resume());
    const { client, over } = serveForward(localDialler.dial);
    const [data, error] = openPair(client, port, "0");
    client.send(data, "", true);
    await client.until(() => client.has("synReply", data));
    client.transport.pause();
    await new Promise((resolve) => setTimeout(resolve, 100));
    client.transport.resume();
    await client.until(() => client.received(error).fin);
    expect(client.received(data).text).to.have.length(3_000_000);
    client.transport.destroy();
    await over;
  });
});
