import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectHttp2, constants } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { expect } from "chai";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";

const grpcHeaders = (method: string, more: Record<string, string> = {}) => ({
  ":method": "POST",
  ":path": `/runtime.v1.RuntimeService/${method}`,
  "content-type": "application/grpc",
  te: "trailers",
  ...more,
});

/** Five bytes of gRPC's own frame and the message. */
function framed(message: Buffer, compressed = false): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

describe("a client that abuses HTTP/2", function () {
  this.timeout(90_000);
  let node: TestNode;

  before(async () => {
    node = await startNode({ withoutNetwork: true });
    // Started and warm: what grows from here on is the abuse.
    for (let round = 0; round < 200; round += 1) await node.runtime.listContainers({});
  });
  after(async () => {
    await node.close();
  });
  afterEach(async () => {
    const { version } = await node.runtime.version({});
    expect(version).to.not.equal("");
    expect(node.log()).to.not.match(/unhandled rejection|uncaught exception/);
  });

  const open = (): ClientHttp2Session => {
    const session = connectHttp2("http://localhost", {
      createConnection: () => connect(node.endpoint.replace("unix://", "")),
    });
    session.on("error", () => undefined);
    return session;
  };
  const residentKib = (): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${node.pid}/status`, "utf8"))?.[1]);
  const statusOf = (stream: ClientHttp2Stream): Promise<string> =>
    new Promise((resolve) => {
      let status = "";
      stream.on("response", (headers) => (status = String(headers["grpc-status"] ?? status)));
      stream.on(
        "trailers",
        (headers: IncomingHttpHeaders) => (status = String(headers["grpc-status"] ?? status)),
      );
      stream.on("error", () => undefined);
      stream.on("close", () => resolve(status === "" ? "none" : status));
      stream.resume();
    });

  it("by forty thousand streams that are reset at once gets nothing that lasts", async () => {
    const flood = async (streams: number): Promise<number> => {
      let opened = 0;
      for (let sessions = 0; opened < streams && sessions < streams / 20; sessions += 1) {
        const session = open();
        await Promise.race([once(session, "connect"), once(session, "close")]);
        // The server may have enough of a session and end it: then by the next one.
        for (let at = 0; at < 500 && !session.closed && !session.destroyed; at += 1) {
          const stream = session.request(grpcHeaders("ListContainers"));
          stream.on("error", () => undefined);
          stream.end(framed(Buffer.alloc(0)));
          stream.close(constants.NGHTTP2_CANCEL);
          opened += 1;
          if (at % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        await node.runtime.version({}, { timeoutMs: 5000 });
        session.destroy();
      }
      expect(opened).to.be.at.least(streams);
      return residentKib();
    };
    // A heap grows to what a flood needs, and then no more.
    const warm = await flood(20_000);
    const after = await flood(20_000);
    expect(after - warm, "KiB more").to.be.below(40_000);
  });

  it("by a message in pieces of one byte is answered, and others meanwhile", async () => {
    const session = open();
    const stream = session.request(grpcHeaders("Version"));
    const status = statusOf(stream);
    // Field 1 of VersionRequest, a string.
    const text = Buffer.alloc(20_000, "x");
    const length = Buffer.from([0x0a, 0xa0, 0x9c, 0x01]);
    for (const byte of framed(Buffer.concat([length, text]))) stream.write(Buffer.from([byte]));
    await node.runtime.listContainers({}, { timeoutMs: 5000 });
    stream.end();
    expect(await status).to.equal("0");
    session.destroy();
  });

  it("by a small message that inflates to 256 MiB is refused, without the memory for it", async () => {
    const session = open();
    const before = residentKib();
    const bomb = gzipSync(Buffer.alloc(256 << 20), { level: 9 });
    const stream = session.request(grpcHeaders("Version", { "grpc-encoding": "gzip" }));
    const status = statusOf(stream);
    stream.end(framed(bomb, true));
    // RESOURCE_EXHAUSTED, or UNIMPLEMENTED where compression is not spoken.
    expect(await status).to.be.oneOf(["8", "12"]);
    expect(residentKib() - before, "KiB more").to.be.below(60_000);
    session.destroy();
  });

  it("by a compression that nobody knows, and by frames that are none, is refused", async () => {
    const session = open();
    const unknown = session.request(grpcHeaders("Version", { "grpc-encoding": "snappy" }));
    const status = statusOf(unknown);
    unknown.end(framed(Buffer.alloc(0), true));
    expect(await status).to.not.equal("0");
    session.destroy();
    const socket = connect(node.endpoint.replace("unix://", ""));
    socket.on("error", () => undefined);
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(Buffer.alloc(100_000, 0xff));
    socket.resume();
    await once(socket, "close");
  });
});
