import { duplexPair } from "node:stream";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { expect } from "chai";
import { WebSocket } from "ws";
import { silentLogger } from "../../../src/log.ts";
import { createDialler } from "../../../src/streaming/dialler.ts";
import type { Dialler } from "../../../src/streaming/dialler.ts";
import { runSpdyPortForward } from "../../../src/streaming/port-forward.ts";
import type { StreamingServer } from "../../../src/streaming/server.ts";
import { encodeRstStream } from "../../../src/streaming/spdy/frames.ts";
import { until } from "../../support/until.ts";
import { SpdyClient } from "../../support/spdy-client.ts";
import { startStreamingServer } from "../../support/streaming-server.ts";

const grant = { podSandboxId: "pod1", ports: [] };

interface Forward {
  client: SpdyClient;
  over: Promise<void>;
  dials: number[];
}

/** A connection whose pod is a server of this process; `dial` may be replaced. */
function serve(dial: Dialler["dial"], pairTimeoutMs?: number): Forward {
  const [clientEnd, serverEnd] = duplexPair();
  const dials: number[] = [];
  const dialler: Dialler = {
    dial: (port) => {
      dials.push(port);
      return dial(port);
    },
    close: () => undefined,
  };
  const timeout = pairTimeoutMs === undefined ? {} : { pairTimeoutMs };
  const over = runSpdyPortForward({ dialler, log: silentLogger, ...timeout }, grant, serverEnd);
  return { client: new SpdyClient(clientEnd), over, dials };
}

function openPair(client: SpdyClient, port: number | string, requestid?: string): [number, number] {
  const headers = { port: String(port), ...(requestid === undefined ? {} : { requestid }) };
  const error = client.open({ streamtype: "error", ...headers });
  client.send(error, "", true);
  const data = client.open({ streamtype: "data", ...headers });
  return [data, error];
}

describe("port-forward", () => {
  let pod: Server;
  let port: number;
  let connections: Socket[];
  const local = createDialler({ netns: undefined, log: silentLogger });

  const listen = (onConnection: (socket: Socket) => void): Promise<void> => {
    connections = [];
    pod = createServer({ allowHalfOpen: true }, (socket) => {
      connections.push(socket);
      socket.on("error", () => undefined);
      onConnection(socket);
    });
    return new Promise((resolve) => {
      pod.listen(0, "127.0.0.1", () => {
        port = (pod.address() as AddressInfo).port;
        resolve();
      });
    });
  };
  afterEach(() => {
    for (const socket of connections) socket.destroy();
    pod.close();
  });

  it("passes half-closes on both ways", async () => {
    await listen((socket) => {
      socket.write("first");
      const chunks: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.on("end", () => socket.end(`got ${Buffer.concat(chunks).toString()}`));
    });
    const { client, over } = serve(local.dial);
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
    const { client, over } = serve(local.dial);
    const [data, error] = openPair(client, port, "0");
    await client.until(() => client.received(data).fin);
    client.send(data, "still", true);
    await client.until(() => client.received(error).fin);
    await ended;
    expect(got).to.equal("still");
    client.transport.destroy();
    await over;
  });

  it("tells why a port is refused, on that stream alone", async () => {
    await listen((socket) => socket.pipe(socket));
    const { client, over } = serve(local.dial);
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
    const { client, over } = serve(local.dial);
    const [data, error] = openPair(client, port, "0");
    client.send(data, "x");
    await client.until(() => client.has("rstStream", data) && client.received(error).fin);
    expect(client.received(error).text).to.equal("");
    client.transport.destroy();
    await over;
  });

  it("closes the pod's connection when the client resets its stream", async () => {
    await listen((socket) => socket.resume());
    const { client, over } = serve(local.dial);
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
    const { client, over } = serve(local.dial);
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

  it("pairs the streams of clients that send no request id", async () => {
    await listen((socket) => socket.pipe(socket));
    const { client, over } = serve(local.dial);
    for (const text of ["one", "two"]) {
      const [data] = openPair(client, port);
      client.send(data, text, true);
      await client.until(() => client.received(data).fin);
      expect(client.received(data).text).to.equal(text);
    }
    client.transport.destroy();
    await over;
  });

  it("refuses streams that name no port or no kind", async () => {
    await listen(() => undefined);
    const { client, over, dials } = serve(local.dial);
    const bad = ["0", "65536", "-1", "1e3", "80 ", "", "0x50", "999999"].map((text) =>
      client.open({ streamtype: "error", port: text, requestid: "9" }),
    );
    bad.push(client.open({ streamtype: "stdin", port: "80" }), client.open({ port: "80" }));
    bad.push(client.open({ streamtype: "data" }));
    await client.until(() => bad.every((id) => client.has("rstStream", id)));
    expect(dials).to.deep.equal([]);
    client.transport.destroy();
    await over;
  });

  it("refuses a second stream of the same kind for one request", async () => {
    await listen(() => undefined);
    const { client, over } = serve(local.dial);
    client.open({ streamtype: "error", port: "80", requestid: "1" });
    const second = client.open({ streamtype: "error", port: "80", requestid: "1" });
    await client.until(() => client.has("rstStream", second));
    client.transport.destroy();
    await over;
  });

  it("gives up half a pair", async () => {
    await listen(() => undefined);
    const { client, over, dials } = serve(local.dial, 30);
    const error = client.open({ streamtype: "error", port: "80", requestid: "1" });
    const data = client.open({ streamtype: "data", port: "80", requestid: "2" });
    await client.until(() => client.received(error).fin && client.has("rstStream", data));
    expect(client.received(error).text).to.contain("request 1");
    expect(dials).to.deep.equal([]);
    client.transport.destroy();
    await over;
  });

  it("closes a connection that was made for a client that has left", async () => {
    let ended = false;
    await listen((socket) => socket.resume().once("end", () => (ended = true)));
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { client, over } = serve(async (wanted) => {
      await gate;
      return local.dial(wanted);
    });
    const [data] = openPair(client, port, "0");
    await client.until(() => client.has("synReply", data));
    client.transport.destroy();
    await over;
    release();
    while (!ended) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  describe("over WebSocket", () => {
    let server: StreamingServer;
    beforeEach(async () => (server = await startStreamingServer()));
    afterEach(() => server.close(0));
    const open = async (ports: number[], protocols: string[]): Promise<WebSocket> => {
      const url = server.portForwardUrl({ podSandboxId: "pod1", ports });
      const ws = new WebSocket(url.replace("http", "ws"), protocols);
      const messages: Buffer[] = [];
      ws.on("message", (data: Buffer) => messages.push(data));
      Object.assign(ws, { messages });
      await new Promise((resolve, reject) => ws.once("open", resolve).once("error", reject));
      return ws;
    };
    const messagesOf = (ws: WebSocket): Buffer[] =>
      (ws as unknown as { messages: Buffer[] }).messages;

    it("names the port on both channels of each pair, then carries data", async () => {
      await listen((socket) => socket.once("data", (chunk: Buffer) => socket.end(chunk)));
      const ws = await open([port, 1], ["v4.channel.k8s.io"]);
      const closed = new Promise((resolve) => ws.once("close", resolve));
      ws.send(Buffer.from("\0ping"));
      while (!messagesOf(ws).some((message) => message.length > 3 && message[0] === 0)) {
        await new Promise((resolve) => ws.once("message", resolve));
      }
      const text = (channel: number): string =>
        Buffer.concat(
          messagesOf(ws)
            .filter((message) => message[0] === channel)
            .map((message) => message.subarray(1)),
        ).toString("latin1");
      const name = Buffer.from([port & 0xff, port >> 8]).toString("latin1");
      expect(text(0)).to.equal(`${name}ping`);
      expect(text(1)).to.equal(name);
      expect(text(2)).to.equal("\x01\x00");
      ws.close();
      await closed;
      expect(text(3)).to.match(/^\x01\x00error forwarding port 1 .*refused/);
    });

    it("ends when the pod has ended its side, since the client cannot end its own", async () => {
      await listen((socket) => socket.end("last words"));
      const ws = await open([port], ["v4.channel.k8s.io"]);
      const code = await new Promise((resolve) => ws.once("close", resolve));
      expect(code).to.equal(1000);
      const data = messagesOf(ws).filter((message) => message[0] === 0);
      expect(data.at(-1)?.toString()).to.equal("\0last words");
      await until(() => connections.every((socket) => socket.destroyed));
    });

    it("speaks the base64 form", async () => {
      await listen((socket) => socket.end("hi"));
      const ws = await open([port], ["v4.base64.channel.k8s.io"]);
      while (messagesOf(ws).length < 3) await new Promise((resolve) => ws.once("message", resolve));
      expect(messagesOf(ws)[2]!.toString()).to.equal(`0${Buffer.from("hi").toString("base64")}`);
      ws.terminate();
    });

    it("needs to know the ports in the channel forms", async () => {
      await listen(() => undefined);
      const failure = await open([], ["v4.channel.k8s.io"]).catch((error: unknown) => error);
      expect((failure as Error).message).to.contain("400");
    });
  });
});
