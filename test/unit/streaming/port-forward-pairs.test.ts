import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { encodeRstStream } from "../../../src/streaming/spdy/frames.ts";
import { listenInPod, localDialler, openPair, serveForward } from "../../support/port-forward.ts";
import type { PodServer } from "../../support/port-forward.ts";
import type { SpdyClient } from "../../support/spdy-client.ts";
import { until } from "../../support/until.ts";

describe("the two streams of a port-forward connection", () => {
  let pod: PodServer | undefined;
  let port: number;
  let connections: Socket[];

  const listen = async (onConnection: (socket: Socket) => void): Promise<void> => {
    pod = await listenInPod(onConnection);
    ({ port, connections } = pod);
  };
  afterEach(() => pod?.close());

  it("pairs the streams of clients that send no request id", async () => {
    await listen((socket) => socket.pipe(socket));
    const { client, over } = serveForward(localDialler.dial);
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
    const { client, over, dials } = serveForward(localDialler.dial);
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
    const { client, over } = serveForward(localDialler.dial);
    client.open({ streamtype: "error", port: "80", requestid: "1" });
    const second = client.open({ streamtype: "error", port: "80", requestid: "1" });
    await client.until(() => client.has("rstStream", second));
    client.transport.destroy();
    await over;
  });

  it("gives up half a pair", async () => {
    await listen(() => undefined);
    const { client, over } = serveForward(localDialler.dial, 30);
    const error = client.open({ streamtype: "error", port: "80", requestid: "1" });
    const data = client.open({ streamtype: "data", port: "80", requestid: "2" });
    await client.until(() => client.received(error).fin && client.has("rstStream", data));
    expect(client.received(error).text).to.contain("request 1");
    // The half itself is gone too, so that a client with many of them does not run out of streams.
    await client.until(() => client.has("rstStream", error));
    client.transport.destroy();
    await over;
  });

  it("closes a connection that was made for a client that has left", async () => {
    let ended = false;
    await listen((socket) => socket.resume().once("end", () => (ended = true)));
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { client, over } = serveForward(async (wanted) => {
      await gate;
      return localDialler.dial(wanted, new AbortController().signal);
    });
    const [data] = openPair(client, port, "0");
    await client.until(() => client.has("synReply", data));
    client.transport.destroy();
    await over;
    release();
    while (!ended) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it("cost one round trip: the pod is dialled with the first of them, whichever it is", async () => {
    await listen((socket) => socket.pipe(socket));
    const { client, over, dials } = serveForward(localDialler.dial);
    for (const [at, order] of [
      ["error", "data"],
      ["data", "error"],
    ].entries()) {
      const headers = { port: String(port), requestid: String(at) };
      const first = client.open({ streamtype: order[0]!, ...headers });
      await until(() => connections.length === at + 1);
      expect(dials).to.have.length(at + 1);
      const second = client.open({ streamtype: order[1]!, ...headers });
      const [error, data] = order[0] === "error" ? [first, second] : [second, first];
      client.send(data, "ping", true);
      await client.until(() => client.received(error).fin);
      expect(client.received(data)).to.deep.equal({ text: "ping", fin: true });
      expect(client.received(error).text).to.equal("");
    }
    expect(dials).to.have.length(2);
    client.transport.destroy();
    await over;
  });

  it("get what the pod said and how it ended before the second was there", async () => {
    await listen((socket) => socket.end("early").resume());
    const { client, over } = serveForward(localDialler.dial);
    const headers = { port: String(port), requestid: "1" };
    const error = client.open({ streamtype: "error", ...headers });
    await until(() => connections.length === 1);
    await sleep(50);
    const data = client.open({ streamtype: "data", ...headers });
    client.send(data, "", true);
    await client.until(() => client.received(error).fin);
    expect(client.received(data)).to.deep.equal({ text: "early", fin: true });
    client.transport.destroy();
    await over;
  });

  it("learn of a refusal that came before the second was there", async () => {
    await listen(() => undefined);
    const { client, over } = serveForward(() => Promise.reject(new Error("no luck")));
    const headers = { port: "80", requestid: "1" };
    const error = client.open({ streamtype: "error", ...headers });
    await client.until(() => client.has("synReply", error));
    await sleep(20);
    const data = client.open({ streamtype: "data", ...headers });
    await client.until(() => client.received(error).fin && client.has("rstStream", data));
    expect(client.received(error).text).to.contain("port 80 to pod pod1").and.contain("no luck");
    client.transport.destroy();
    await over;
  });

  it("go to the data stream's port where they name two", async () => {
    await listen((socket) => socket.pipe(socket));
    const other = await listenInPod(() => undefined);
    const { client, over } = serveForward(localDialler.dial);
    client.open({ streamtype: "error", port: String(other.port), requestid: "1" });
    await until(() => other.connections.length === 1);
    const data = client.open({ streamtype: "data", port: String(port), requestid: "1" });
    client.send(data, "ping");
    await client.until(() => client.received(data).text === "ping");
    other.connections[0]!.resume();
    await until(() => other.connections[0]!.readableEnded);
    client.transport.destroy();
    await over;
    other.close();
  });

  for (const [what, leave] of [
    ["is reset", (client, id) => void client.transport.write(encodeRstStream(id, 5))],
    ["goes with its connection", (client) => void client.transport.destroy()],
    ["stays alone for too long", () => undefined],
  ] as [string, (client: SpdyClient, id: number) => void][]) {
    it(`end what was dialled for the first, when it ${what}`, async () => {
      await listen((socket) => socket.resume());
      const timeoutMs = what.startsWith("stays") ? 100 : undefined;
      let abortable: AbortSignal | undefined;
      const { client, over } = serveForward((wanted, signal) => {
        // The second dial is under way when its client goes.
        if (wanted !== port) {
          abortable = signal;
          return new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason as Error));
          });
        }
        return localDialler.dial(wanted, signal);
      }, timeoutMs);
      const connected = client.open({ streamtype: "error", port: String(port), requestid: "1" });
      const dialling = client.open({ streamtype: "error", port: "80", requestid: "2" });
      await until(() => connections.length === 1 && abortable !== undefined);
      leave(client, connected);
      leave(client, dialling);
      await until(() => connections[0]!.readableEnded && abortable!.aborted);
      client.transport.destroy();
      await over;
    });
  }
});
