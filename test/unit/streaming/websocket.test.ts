import { expect } from "chai";
import { WebSocket } from "ws";
import type { StreamingServerDeps } from "../../../src/streaming/deps.ts";
import type { StreamingServer } from "../../../src/streaming/server.ts";
import { StreamingEngine, outputFrame } from "../../support/streaming-engine.ts";
import type { FakeProcess } from "../../support/streaming-engine.ts";
import { startStreamingServer } from "../../support/streaming-server.ts";

const request = {
  ...{ containerId: "c1", cmd: ["x"], tty: false, stdin: true, stdout: true, stderr: true },
};

/** Says back on stdout what comes on stdin, and ends with it. */
function cat(process: FakeProcess): void {
  process.stream.on("data", (chunk: Buffer) => {
    process.stream.write(outputFrame("stdout", chunk));
  });
  process.stream.on("end", () => {
    process.stream.write(outputFrame("stderr", "end"));
    process.exit(5);
  });
}

interface Session {
  ws: WebSocket;
  /** Texts by channel. */
  text: (channel: number) => string;
  first: Buffer | undefined;
  closed: Promise<number>;
}

function open(url: string, protocols: string[], options: object = {}): Promise<Session> {
  const ws = new WebSocket(url.replace("http", "ws"), protocols, options);
  const base64 = (): boolean => ws.protocol.includes("base64");
  const texts = new Map<number, string>();
  const closed = new Promise<number>((resolve) => ws.once("close", resolve));
  const session: Session = {
    ws,
    text: (channel) => texts.get(channel) ?? "",
    first: undefined,
    closed,
  };
  ws.on("message", (data: Buffer) => {
    session.first ??= data;
    const channel = base64() ? data[0]! - 0x30 : data[0]!;
    const rest = data.subarray(1);
    const text = base64() ? Buffer.from(rest.toString(), "base64").toString() : rest.toString();
    texts.set(channel, session.text(channel) + text);
  });
  return new Promise((resolve, reject) => {
    ws.once("open", () => resolve(session));
    ws.once("error", reject);
  });
}

const eventually = async (condition: () => boolean): Promise<void> => {
  for (let round = 0; !condition(); round += 1) {
    if (round > 200) throw new Error("not within two seconds");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

describe("remote commands over WebSocket", () => {
  let server: StreamingServer;
  let engine: StreamingEngine;
  const start = async (
    run: (process: FakeProcess) => void,
    deps: Partial<StreamingServerDeps> = {},
  ): Promise<void> => {
    engine = new StreamingEngine(run);
    server = await startStreamingServer({ engine: engine.calls, ...deps });
  };
  afterEach(() => server.close(0));

  it("carry stdin, output and status, and half-close with v5", async () => {
    await start(cat);
    const { ws, text, closed } = await open(server.execUrl(request), ["v5.channel.k8s.io"]);
    expect(ws.protocol).to.equal("v5.channel.k8s.io");
    ws.send(Buffer.from("\0hello"));
    await eventually(() => text(1) === "hello");
    ws.send(Buffer.from([255, 0]));
    expect(await closed).to.equal(1000);
    expect(text(2)).to.equal("end");
    expect(JSON.parse(text(3))).to.include({ reason: "NonZeroExitCode" });
  });

  for (const [protocol, base64, json] of [
    ["v4.channel.k8s.io", false, true],
    ["channel.k8s.io", false, false],
    ["v4.base64.channel.k8s.io", true, true],
    ["base64.channel.k8s.io", true, false],
  ] as const) {
    it(`speak ${protocol}`, async () => {
      await start((process) => {
        process.stream.once("data", (chunk: Buffer) => {
          process.stream.write(outputFrame("stdout", chunk));
          process.exit(4);
        });
      });
      const { ws, text, closed } = await open(server.execUrl(request), [protocol]);
      expect(ws.protocol).to.equal(protocol);
      const bytes = Buffer.from("päck \0\x01");
      ws.send(base64 ? `0${bytes.toString("base64")}` : Buffer.concat([Buffer.from([0]), bytes]));
      await closed;
      expect(text(1)).to.equal(bytes.toString());
      if (json) expect(JSON.parse(text(3))).to.include({ status: "Failure" });
      else expect(text(3)).to.contain("exit status 4").and.not.contain("{");
    });
  }

  it("take the client's first choice, and the oldest form where there is none", async () => {
    await start(cat);
    const chosen = await open(server.execUrl(request), [
      "v3.channel.k8s.io",
      "v4.channel.k8s.io",
      "v5.channel.k8s.io",
    ]);
    expect(chosen.ws.protocol).to.equal("v4.channel.k8s.io");
    const unnamed = await open(server.execUrl(request), []);
    expect(unnamed.ws.protocol).to.equal("");
    chosen.ws.terminate();
    unnamed.ws.terminate();
  });

  it("are refused without a protocol in common", async () => {
    await start(cat);
    // The second and third belong to SPDY.
    for (const number of [2, 3, 6]) {
      const offered = [`v${number}.channel.k8s.io`];
      const failure = await open(server.execUrl(request), offered).catch((error: unknown) => error);
      expect((failure as Error).message).to.contain("403");
    }
  });

  it("are opened by web pages, by their protocols and without one", async () => {
    await start(cat);
    const options = { origin: "https://console.example" };
    for (const offered of [["v5.channel.k8s.io"], ["v4.base64.channel.k8s.io"], []]) {
      const { ws } = await open(server.execUrl(request), offered, options);
      expect(ws.protocol).to.equal(offered[0] ?? "");
      ws.terminate();
    }
  });

  it("begin with an empty message on the lowest channel that the client reads", async () => {
    await start(() => undefined);
    const session = await open(server.execUrl({ ...request, stdout: false }), [
      "v5.channel.k8s.io",
    ]);
    await eventually(() => session.first !== undefined);
    expect([...session.first!]).to.deep.equal([2]);
    session.ws.terminate();
  });

  it("negotiate no compression", async () => {
    await start(cat);
    const { ws } = await open(server.execUrl(request), ["v5.channel.k8s.io"], {
      perMessageDeflate: true,
    });
    expect(ws.extensions).to.equal("");
    ws.terminate();
  });

  it("carry a message of 32 MiB", async () => {
    let got = 0;
    await start((process) => {
      process.stream.on("data", (chunk: Buffer) => (got += chunk.length));
      process.stream.on("end", () => process.exit(0));
    });
    const { ws, text, closed } = await open(server.execUrl(request), ["v5.channel.k8s.io"]);
    ws.send(Buffer.alloc(32 << 20));
    ws.send(Buffer.from([255, 0]));
    expect(await closed).to.equal(1000);
    expect(got).to.equal((32 << 20) - 1);
    expect(JSON.parse(text(3))).to.deep.equal({ status: "Success" });
  });

  it("ignore channels that are not theirs and data after the half-close", async () => {
    await start((process) => {
      process.stream.on("data", (chunk: Buffer) =>
        process.stream.write(outputFrame("stdout", chunk)),
      );
    });
    const { ws, text } = await open(server.execUrl(request), ["v5.channel.k8s.io"]);
    for (const message of ["\x01x", "\x02x", "\x03x", "\x09x", "", "\0", "\xfe"]) {
      ws.send(Buffer.from(message, "latin1"));
    }
    ws.send(Buffer.from("\0yes"));
    await eventually(() => text(1) === "yes");
    ws.send(Buffer.from([255, 0]));
    ws.send(Buffer.from("\0late"));
    ws.send(Buffer.from([255, 0]));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(text(1)).to.equal("yes");
    expect(ws.readyState).to.equal(WebSocket.OPEN);
    ws.terminate();
  });

  for (const [what, message] of [
    ["a half-close without a channel", Buffer.from([255])],
    ["a half-close of a channel that does not exist", Buffer.from([255, 9])],
    ["a half-close that says more", Buffer.from([255, 0, 0])],
    ["a message of more than 32 MiB", Buffer.alloc((32 << 20) + 1)],
  ] as const) {
    it(`end at ${what}`, async () => {
      await start(cat);
      const { ws, closed } = await open(server.execUrl(request), ["v5.channel.k8s.io"]);
      ws.on("error", () => undefined);
      ws.send(message);
      expect(await closed).to.be.oneOf([1002, 1006, 1009]);
      await eventually(() => server.sessions() === 0);
    });
  }

  for (const [what, bytes] of [
    ["an unmasked frame", [0x82, 0x01, 0x00]],
    ["a reserved opcode", [0x83, 0x80, 0, 0, 0, 0]],
    ["a reserved bit", [0xf2, 0x80, 0, 0, 0, 0]],
    ["a fragmented control frame", [0x09, 0x80, 0, 0, 0, 0]],
    ["a long control frame", [0x89, 0xfe, 0x00, 0x7e, 0, 0, 0, 0]],
    ["text that is not UTF-8", [0x81, 0x81, 0, 0, 0, 0, 0xff]],
    ["a continuation of nothing", [0x80, 0x80, 0, 0, 0, 0]],
    ["a length of 2^63", [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
  ] as const) {
    it(`end at ${what}`, async () => {
      await start(cat);
      const { ws, closed } = await open(server.execUrl(request), ["v5.channel.k8s.io"]);
      ws.on("error", () => undefined);
      (ws as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(
        Buffer.from(bytes),
      );
      await closed;
      await eventually(() => server.sessions() === 0);
    });
  }

  it("stop reading while the process does not read, and tell the client that they live", async () => {
    await start(() => undefined);
    const { ws, closed } = await open(server.execUrl(request), ["v5.channel.k8s.io"]);
    let pongs = 0;
    ws.on("pong", () => (pongs += 1));
    for (let round = 0; round < 500; round += 1) ws.send(Buffer.alloc(32_768));
    await eventually(() => pongs > 0);
    expect(ws.bufferedAmount).to.be.above(1 << 20);
    let got = 0;
    engine.processes[0]!.stream.on("data", (chunk: Buffer) => (got += chunk.length));
    await eventually(() => got === 500 * 32_767);
    engine.processes[0]!.exit(0);
    await closed;
  });

  it("end their process when the client is lost while it is not read", async () => {
    const ended: string[] = [];
    await start(() => undefined, { endExec: (id) => Promise.resolve(void ended.push(id)) });
    const { ws } = await open(server.execUrl(request), ["v5.channel.k8s.io"]);
    for (let round = 0; round < 500; round += 1) ws.send(Buffer.alloc(32_768));
    await eventually(() => ws.bufferedAmount > 1 << 20 && engine.processes.length === 1);
    ws.terminate();
    await eventually(() => server.sessions() === 0);
    expect(ended).to.have.length(1);
  });
});
