import { expect } from "chai";
import type { StreamingServer } from "../../../src/streaming/server.ts";
import {
  connectTo,
  rawRequest,
  spdyRequest,
  startStreamingServer,
} from "../../support/streaming-server.ts";

const tokenless = "/exec/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

describe("the streaming server's HTTP", () => {
  let server: StreamingServer;
  before(async () => (server = await startStreamingServer()));
  after(() => server.close(0));

  const newUrl = (): string =>
    server.execUrl({
      ...{ containerId: "c", cmd: ["true"], tty: false },
      ...{ stdin: false, stdout: true, stderr: false },
    });
  const good = (path: string, extra: string[] = [], version = "1.1"): string =>
    [
      `POST ${path} HTTP/${version}`,
      "Host: node",
      "Connection: Upgrade",
      "Upgrade: SPDY/3.1",
      "X-Stream-Protocol-Version: v4.channel.k8s.io",
      ...extra,
      "",
      "",
    ].join("\r\n");

  const refused: Record<string, [string, number]> = {
    "no token": [good("/exec/"), 404],
    "an unknown token": [good(tokenless), 404],
    "another path": [good("/metrics"), 404],
    "a path that climbs": [good("/exec/../exec/x"), 404],
    "an absolute URI": [good(`http://node${tokenless}`), 404],
    "an asterisk": [good("*"), 404],
    "HTTP/1.0": [good(tokenless, [], "1.0"), 400],
    "two Host headers": [good(tokenless, ["Host: other"]), 400],
    "two Upgrade headers": [good(tokenless, ["Upgrade: websocket"]), 400],
    "a body": [`${good(tokenless, ["Content-Length: 5"])}hello`, 400],
    "a chunked body": [`${good(tokenless, ["Transfer-Encoding: chunked"])}0\r\n\r\n`, 400],
    "both kinds of length": [
      good(tokenless, ["Content-Length: 5", "Transfer-Encoding: chunked"]),
      400,
    ],
    "two lengths": [good(tokenless, ["Content-Length: 0", "Content-Length: 1"]), 400],
    "two equal lengths": [good(tokenless, ["Content-Length: 0", "Content-Length: 0"]), 400],
    "a length with a sign": [good(tokenless, ["Content-Length: +0"]), 400],
    "a folded header": [good(tokenless, ["X-A: b\r\n  c"]), 400],
    "blank before the colon": [good(tokenless, ["X-A : b"]), 400],
    "a bare line feed": [good(tokenless).replaceAll("\r\n", "\n"), 400],
    "a NUL in a header": [good(tokenless, ["X-A: \0"]), 400],
    "an Expect header": [good(tokenless, ["Expect: 100-continue"]), 400],
    "an unknown protocol to upgrade to": [good(tokenless).replace("SPDY/3.1", "h2c"), 400],
    "no sub-protocol": [good(tokenless).replace(/X-Stream.*\r\n/, ""), 400],
    "another method": [good(tokenless).replace("POST", "DELETE"), 405],
    "a WebSocket by POST": [good(tokenless).replace("SPDY/3.1", "websocket"), 405],
    "1001 headers": [good(tokenless, Array<string>(997).fill("X-A: b")), 431],
    "a hundred thousand headers": [good(tokenless, Array<string>(100_000).fill("X-A: b")), 431],
    "headers of more than 1 MiB": [good(tokenless, [`X-A: ${"b".repeat(1 << 20)}`]), 431],
    "no Host": [good(tokenless).replace("Host: node\r\n", ""), 400],
    "no upgrade at all": [`GET ${tokenless} HTTP/1.1\r\nHost: node\r\n\r\n`, 400],
    "something that is not HTTP": ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400],
  };
  for (const [what, [request, code]] of Object.entries(refused)) {
    it(`refuses ${what} and closes`, async () => {
      const reply = await rawRequest(server, request);
      expect(reply).to.match(new RegExp(`^HTTP/1\\.1 ${code} `));
      expect(reply.toLowerCase()).to.contain("connection: close");
      expect(reply.match(/HTTP\/1\.1 \d/g)).to.have.length(1);
    });
  }

  it("takes a CONNECT for nothing", async () => {
    const reply = await rawRequest(server, "CONNECT node:22 HTTP/1.1\r\nHost: node\r\n\r\n");
    expect(reply).to.not.contain(" 200 ");
  });

  it("serves nothing that follows a refusal on the same connection", async () => {
    const url = newUrl();
    const path = new URL(url).pathname;
    for (const first of [good(tokenless), `GET / HTTP/1.1\r\nHost: node\r\n\r\n`]) {
      const reply = await rawRequest(server, first + good(path));
      expect(reply).to.not.contain(" 101 ");
    }
    const reply = await rawRequest(server, good(path).replace("v4.channel.k8s.io", "x"));
    expect(reply).to.match(/^HTTP\/1\.1 403 /);
  });

  for (const [what, extra] of [
    ["a thousand headers", Array<string>(996).fill("X-A: b")],
    ["cookies of 1000 KB", [`Cookie: a=${"b".repeat(1_000_000)}`]],
  ] as const)
    it(`takes a request with ${what}`, async () => {
      const socket = connectTo(server);
      socket.write(good(new URL(newUrl()).pathname, [...extra]));
      const reply = await new Promise<string>((resolve) =>
        socket.once("data", (chunk: Buffer) => resolve(chunk.toString("latin1"))),
      );
      socket.destroy();
      expect(reply).to.match(/^HTTP\/1\.1 101 /);
    });

  it("takes a SPDY request with an Origin header", async () => {
    for (const origin of ["http://localhost", "https://console.example:8443", "null"]) {
      const path = new URL(newUrl()).pathname;
      const socket = connectTo(server);
      socket.write(good(path, [`Origin: ${origin}`]));
      const reply = await new Promise<string>((resolve) =>
        socket.once("data", (chunk: Buffer) => resolve(chunk.toString("latin1"))),
      );
      socket.destroy();
      expect(reply).to.match(/^HTTP\/1\.1 101 /);
    }
    const unknown = await rawRequest(server, good(tokenless, ["Origin: http://localhost"]));
    expect(unknown, "the token is still needed").to.match(/^HTTP\/1\.1 404 /);
  });

  it("takes what follows an upgrade for SPDY and not for a request", async () => {
    const path = new URL(newUrl()).pathname;
    const reply = await rawRequest(server, good(path) + good(new URL(newUrl()).pathname));
    expect(reply.match(/HTTP\/1\.1 \d/g)).to.have.length(1);
    expect(reply).to.match(/^HTTP\/1\.1 101 /);
    // A GOAWAY that reports a protocol error.
    expect(Buffer.from(reply, "latin1").subarray(-16).toString("hex")).to.equal(
      "80030007000000080000000000000001",
    );
  });

  it("names the protocols it speaks when there is none in common", async () => {
    const reply = await rawRequest(server, spdyRequest(newUrl(), "v99.channel.k8s.io"));
    expect(reply).to.match(/^HTTP\/1\.1 403 /);
    expect(reply).to.contain("X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io");
  });

  it("serves a URL once, and only for its kind", async () => {
    const url = newUrl();
    const other = new URL(url).pathname.replace("exec", "attach");
    expect(await rawRequest(server, good(other))).to.match(/^HTTP\/1\.1 404 /);
    expect(await rawRequest(server, good(new URL(url).pathname))).to.match(/^HTTP\/1\.1 404 /);
  });

  it("drops a connection with half a request when it closes", async () => {
    const short = await startStreamingServer();
    const socket = connectTo(short);
    socket.write("POST /exec/");
    await new Promise((resolve) => setTimeout(resolve, 50));
    const ended = new Promise((resolve) => socket.resume().once("end", resolve));
    await short.close(0);
    await ended;
    socket.destroy();
  });
});
