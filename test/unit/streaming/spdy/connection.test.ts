import { duplexPair } from "node:stream";
import type { Duplex } from "node:stream";
import { expect } from "chai";
import { silentLogger } from "../../../../src/log.ts";
import { SpdyConnection } from "../../../../src/streaming/spdy/connection.ts";
import {
  dataHeader,
  encodePing,
  encodeRstStream,
  encodeSettings,
  encodeSynStream,
} from "../../../../src/streaming/spdy/frames.ts";
import { HeaderDeflater } from "../../../../src/streaming/spdy/headers.ts";
import type { SpdyStream } from "../../../../src/streaming/spdy/stream.ts";
import { SpdyClient } from "../../../support/spdy-client.ts";

interface Pair {
  client: SpdyClient;
  server: SpdyConnection;
  streams: SpdyStream[];
  serverEnd: Duplex;
}

function connect(onStream?: (stream: SpdyStream) => boolean, maxStreams?: number): Pair {
  const [clientEnd, serverEnd] = duplexPair();
  const streams: SpdyStream[] = [];
  const server = new SpdyConnection(serverEnd, {
    log: silentLogger,
    onStream: (stream) => {
      streams.push(stream);
      return onStream?.(stream) ?? true;
    },
    ...(maxStreams === undefined ? {} : { maxStreams }),
  });
  return { client: new SpdyClient(clientEnd), server, streams, serverEnd };
}

const echo = (stream: SpdyStream): boolean => {
  stream.pipe(stream);
  return true;
};

describe("a SPDY connection", () => {
  it("answers a stream, carries data both ways and half-closes", async () => {
    const { client, server } = connect(echo);
    const id = client.open({ streamtype: "data" });
    client.send(id, "hello ");
    client.send(id, "world", true);
    await client.until(() => client.received(id).fin);
    expect(client.received(id).text).to.equal("hello world");
    const reply = client.frames.findIndex((frame) => frame.type === "synReply");
    expect(client.frames[reply]).to.include({ streamId: id });
    expect(client.frames.slice(0, reply).some(({ type }) => type === "data")).to.equal(false);
    expect(server.openStreams).to.equal(0);
    expect(client.has("rstStream")).to.equal(false);
  });

  it("makes one frame of what is written together", async () => {
    const { client } = connect((stream) => {
      stream.cork();
      for (const part of ["one ", "two ", "three"]) stream.write(part);
      stream.uncork();
      stream.end();
      stream.resume();
      return true;
    });
    const raw: Buffer[] = [];
    client.transport.on("data", (chunk: Buffer) => raw.push(chunk));
    const id = client.open();
    await client.until(() => client.received(id).fin);
    const frame = Buffer.concat([dataHeader(id, 13, false), Buffer.from("one two three")]);
    expect(Buffer.concat(raw).includes(frame)).to.equal(true);
  });

  it("sends data in chunks of at most 64 KiB", async () => {
    const { client } = connect((stream) => {
      stream.end(Buffer.alloc(100_000, "x"));
      stream.resume();
      return true;
    });
    const id = client.open();
    await client.until(() => client.received(id).fin);
    expect(client.received(id).text).to.have.length(100_000);
    for (const frame of client.frames) {
      if (frame.type === "data") expect(frame.bytes.length).to.be.at.most(64 << 10);
    }
  });

  it("resets a stream that is destroyed early, and leaves the others alone", async () => {
    const { client, streams } = connect();
    const first = client.open();
    const second = client.open();
    await client.until(() => client.has("synReply", second));
    streams[0]!.destroy();
    await client.until(() => client.has("rstStream", first));
    streams[1]!.write("still here");
    await client.until(() => client.received(second).text === "still here");
  });

  it("shows a reset by the peer as close without end and without error", async () => {
    const { client, streams } = connect();
    const id = client.open();
    await client.until(() => client.has("synReply", id));
    const events: string[] = [];
    for (const event of ["end", "error", "close"]) streams[0]!.on(event, () => events.push(event));
    streams[0]!.resume();
    const closed = new Promise((resolve) => streams[0]!.once("close", resolve));
    client.transport.write(encodeRstStream(id, 5));
    await closed;
    expect(events).to.deep.equal(["close"]);
    expect(client.has("rstStream")).to.equal(false);
  });

  it("stops reading while a stream is not read, and goes on after", async () => {
    const { client, streams, serverEnd } = connect();
    const id = client.open();
    await client.until(() => client.has("synReply", id));
    for (let index = 0; index < 100; index += 1) client.send(id, Buffer.alloc(10_000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(serverEnd.isPaused()).to.equal(true);
    // Its own buffer, and the rest of the chunk that filled it.
    expect(streams[0]!.readableLength).to.be.below(200_000);
    expect(client.transport.writableLength).to.be.above(500_000);
    let got = 0;
    streams[0]!.on("data", (chunk: Buffer) => (got += chunk.length));
    client.send(id, "", true);
    await new Promise((resolve) => streams[0]!.once("end", resolve));
    expect(got).to.equal(1_000_000);
  });

  it("probes a peer that it does not read", async () => {
    const { client, server } = connect();
    const id = client.open();
    for (let index = 0; index < 20; index += 1) client.send(id, Buffer.alloc(10_000));
    await client.until(() => client.has("settings"));
    server.destroy();
    await server.closed;
  });

  it("goes on when the stream that was not read is dropped", async () => {
    const { client, streams } = connect((stream) => (stream.id === 1 ? true : echo(stream)));
    const full = client.open();
    for (let index = 0; index < 50; index += 1) client.send(full, Buffer.alloc(10_000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    streams[0]!.destroy();
    const other = client.open();
    client.send(other, "x", true);
    await client.until(() => client.received(other).fin);
  });

  it("makes a writer wait while the peer does not read", async () => {
    const { client, streams } = connect();
    const id = client.open();
    await client.until(() => client.has("synReply", id));
    client.transport.pause();
    let taken = 0;
    const write = (): void => {
      while (streams[0]!.write(Buffer.alloc(16_384), () => (taken += 1)))
        if (taken > 10_000) return;
    };
    write();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(taken).to.be.below(30);
    expect(streams[0]!.writableNeedDrain).to.equal(true);
    client.transport.resume();
    await new Promise((resolve) => streams[0]!.once("drain", resolve));
  });

  it("gives credit for what was read, to the stream and to the connection", async () => {
    const { client } = connect((stream) => {
      stream.resume();
      return true;
    });
    const id = client.open();
    for (let index = 0; index < 40; index += 1) client.send(id, Buffer.alloc(16_384));
    await client.until(() => client.has("windowUpdate", id));
    // The first opened the connection's window to what SETTINGS gives each stream.
    const connectionCredits = client.frames.flatMap((frame) =>
      frame.type === "windowUpdate" && frame.streamId === 0 ? [frame.delta] : [],
    );
    expect(connectionCredits[0]).to.equal((1 << 20) - (64 << 10));
    expect(connectionCredits.length).to.equal(2);
    const given = client.frames.reduce(
      (sum, frame) =>
        sum + (frame.type === "windowUpdate" && frame.streamId === id ? frame.delta : 0),
      0,
    );
    expect(given).to.be.within(512 << 10, 655_360);
  });

  it("echoes pings of the peer and nothing else", async () => {
    const { client } = connect();
    client.transport.write(encodePing(2));
    client.transport.write(encodePing(7));
    await client.until(() => client.has("ping"));
    expect(client.frames.slice(2)).to.deep.equal([{ type: "ping", id: 7 }]);
    expect(client.frames.slice(0, 2).map(({ type }) => type)).to.deep.equal([
      "settings",
      "windowUpdate",
    ]);
  });

  it("refuses streams over the limit, one by one", async () => {
    const { client, server, streams } = connect(undefined, 4);
    const ids = [1, 2, 3, 4, 5, 6].map(() => client.open());
    await client.until(() => client.has("rstStream", ids[5]));
    expect(server.openStreams).to.equal(4);
    expect(client.frames).to.deep.include({ type: "rstStream", streamId: ids[4], status: 3 });
    streams[0]!.destroy();
    const again = client.open();
    await client.until(() => client.has("synReply", again));
  });

  it("says GOAWAY when it closes, after what was written", async () => {
    const { client, server, streams } = connect();
    const id = client.open();
    await client.until(() => client.has("synReply", id));
    streams[0]!.end("last words");
    await new Promise((resolve) => streams[0]!.once("finish", resolve));
    const closed = server.close();
    await client.untilClosed();
    client.transport.end();
    await closed;
    expect(client.received(id)).to.deep.equal({ text: "last words", fin: true });
    expect(client.frames.at(-1)).to.deep.equal({ type: "goAway", lastStreamId: id, status: 0 });
  });

  it("ends every stream when the peer is gone", async () => {
    const { client, server, streams } = connect();
    client.open();
    const last = client.open();
    await client.until(() => client.has("synReply", last));
    client.transport.destroy();
    await server.closed;
    expect(streams.map((stream) => stream.destroyed)).to.deep.equal([true, true]);
    expect(server.openStreams).to.equal(0);
  });

  it("over a transport that has closed is closed", async () => {
    const [, serverEnd] = duplexPair();
    serverEnd.destroy();
    await new Promise((resolve) => serverEnd.once("close", resolve));
    const server = new SpdyConnection(serverEnd, { log: silentLogger, onStream: () => true });
    await server.closed;
  });

  const block = (headers: Record<string, string> = {}): Buffer =>
    new HeaderDeflater().deflate(new Map(Object.entries(headers)));
  const repeat = (bytes: Buffer, count: number): Buffer =>
    Buffer.concat(Array<Buffer>(count).fill(bytes));
  const hostile: Record<string, Buffer> = {
    "an even stream id": encodeSynStream(2, block()),
    "stream id 0": encodeSynStream(0, block()),
    "headers that cannot be inflated": encodeSynStream(1, Buffer.from("garbage that is no zlib")),
    "no headers at all": encodeSynStream(1, Buffer.alloc(0)),
    "data for a stream that was never opened": Buffer.concat([
      dataHeader(1, 1, false),
      Buffer.alloc(1),
    ]),
    "data for stream 0": dataHeader(0, 5, false),
    "a flood of pings": repeat(encodePing(1), 200),
    "a flood of settings": repeat(encodeSettings(), 200),
    "something that is not SPDY": Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
  };
  for (const [name, attack] of Object.entries(hostile)) {
    it(`ends with GOAWAY at ${name}`, async () => {
      const { client, server } = connect();
      client.transport.write(attack);
      await client.untilClosed();
      client.transport.destroy();
      await server.closed;
      expect(client.frames).to.deep.include({ type: "goAway", lastStreamId: 0, status: 1 });
    });
  }

  it("ends with GOAWAY at a stream id that went back", async () => {
    const { client, server } = connect();
    const id = client.open();
    await client.until(() => client.has("synReply", id));
    client.transport.write(encodeSynStream(id, block()));
    await client.untilClosed();
    client.transport.destroy();
    await server.closed;
    expect(client.frames.at(-1)).to.deep.equal({ type: "goAway", lastStreamId: id, status: 1 });
  });
});
