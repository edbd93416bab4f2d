import type { Socket } from "node:net";
import { expect } from "chai";
import { WebSocket } from "ws";
import type { StreamingServer } from "../../../src/streaming/server.ts";
import { listenInPod } from "../../support/port-forward.ts";
import type { PodServer } from "../../support/port-forward.ts";
import { startStreamingServer } from "../../support/streaming-server.ts";
import { until } from "../../support/until.ts";

describe("port-forward over WebSocket", () => {
  let pod: PodServer | undefined;
  let port: number;
  let connections: Socket[];

  const listen = async (onConnection: (socket: Socket) => void): Promise<void> => {
    pod = await listenInPod(onConnection);
    ({ port, connections } = pod);
  };
  afterEach(() => pod?.close());
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
