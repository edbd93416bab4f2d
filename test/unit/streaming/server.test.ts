import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Socket, connect } from "node:net";
import { expect } from "chai";
import { CriError } from "../../../src/errors.ts";
import { createStreamingServer } from "../../../src/streaming/server.ts";
import type { StreamingServerDeps } from "../../../src/streaming/deps.ts";
import type { StreamingServer } from "../../../src/streaming/server.ts";
import { silentLogger } from "../../../src/log.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { noExecNotes } from "../../support/exec-notes.ts";
import { StreamingEngine } from "../../support/streaming-engine.ts";
import { execRequest, openExec, statusOf } from "../../support/streaming-exec.ts";
import {
  connectTo,
  spdyRequest,
  spdyUpgrade,
  startStreamingServer,
  webSocketRequest,
} from "../../support/streaming-server.ts";
import { until } from "../../support/until.ts";

describe("the streaming server", () => {
  let server: StreamingServer;
  const start = async (deps: Partial<StreamingServerDeps>): Promise<StreamingServer> => {
    server = await startStreamingServer(deps);
    return server;
  };
  afterEach(() => server.close(0));

  it("binds a random port of 127.0.0.1 by default", async () => {
    await start({});
    expect(server.address).to.include({ address: "127.0.0.1" });
    expect(server.address!.port).to.be.above(0);
    expect(server.execUrl(execRequest)).to.match(/^http:\/\/127\.0\.0\.1:\d+\/exec\/[\w-]{32}$/);
  });

  it("puts the base URL before the path", async () => {
    await start({ baseUrl: "https://node.example:1234" });
    expect(server.attachUrl(execRequest)).to.match(
      /^https:\/\/node\.example:1234\/attach\/[\w-]+$/,
    );
  });

  it("does not serve other machines in the clear unless that is configured", async () => {
    await start({});
    const deps: StreamingServerDeps = {
      engine: new StreamingEngine(() => undefined).calls,
      sandboxNetns: () => Promise.resolve({ netns: undefined }),
      endExec: () => Promise.resolve(),
      execNotes: noExecNotes,
      clock: systemClock,
      log: silentLogger,
      bindAddress: "0.0.0.0:0",
    };
    expect(() => createStreamingServer(deps)).to.throw(CriError, "certificate");
    createStreamingServer({ ...deps, allowInsecureBind: true });
  });

  it("refuses requests that the CRI forbids", async () => {
    await start({});
    const kindOf = (work: () => unknown): string => {
      try {
        work();
      } catch (error) {
        if (error instanceof CriError) return error.kind;
        throw error;
      }
      return "none";
    };
    const none = { stdin: false, stdout: false, stderr: false };
    const bad = [
      () => server.execUrl({ ...execRequest, containerId: "" }),
      () => server.execUrl({ ...execRequest, cmd: [] }),
      () => server.execUrl({ ...execRequest, tty: true, stderr: true }),
      () => server.execUrl({ ...execRequest, ...none }),
      () => server.attachUrl({ ...execRequest, containerId: "" }),
      () => server.attachUrl({ ...execRequest, ...none }),
      () => server.portForwardUrl({ podSandboxId: "", ports: [] }),
      () => server.portForwardUrl({ podSandboxId: "p", ports: [0] }),
      () => server.portForwardUrl({ podSandboxId: "p", ports: [80, 65_536] }),
    ];
    for (const request of bad)
      expect(kindOf(request), request.toString()).to.equal("InvalidArgument");
    for (let index = 0; index < 1000; index += 1) server.execUrl(execRequest);
    expect(kindOf(() => server.attachUrl(execRequest))).to.equal("ResourceExhausted");
    await server.close(0);
    expect(kindOf(() => server.execUrl(execRequest))).to.equal("Unavailable");
  });

  it("attaches by how the container was made and not by the request", async () => {
    const engine = new StreamingEngine((process) => process.stream.write("plain"));
    engine.container = { Running: true, Tty: true, OpenStdin: false, StdinOnce: false };
    await start({ engine: engine.calls });
    const client = await spdyUpgrade(server, server.attachUrl({ ...execRequest, stdin: true }));
    const error = client.open({ streamtype: "error" });
    const stdin = client.open({ streamtype: "stdin" });
    const stdout = client.open({ streamtype: "stdout" });
    await client.until(() => client.received(stdout).text === "plain");
    expect(engine.attachOptions[0]).to.include({ stdin: false });
    // There is nobody to read it; it must not hold up the connection.
    for (let round = 0; round < 50; round += 1) client.send(stdin, Buffer.alloc(16_384));
    engine.processes[0]!.exit(0);
    await client.untilClosed();
    expect(JSON.parse(client.received(error).text)).to.deep.equal({ status: "Success" });
    client.transport.destroy();
  });

  it("refuses to attach to what is not running", async () => {
    const engine = new StreamingEngine(() => undefined);
    engine.container.Running = false;
    await start({ engine: engine.calls });
    const client = await spdyUpgrade(server, server.attachUrl(execRequest));
    const error = client.open({ streamtype: "error" });
    client.open({ streamtype: "stdout" });
    await client.untilClosed();
    expect(client.received(error).text).to.contain("not running");
    client.transport.destroy();
  });

  for (const [transport, request] of [
    ["SPDY", (url: string) => spdyRequest(url, "portforward.k8s.io")],
    ["WebSocket", (url: string) => webSocketRequest(url, "v4.channel.k8s.io")],
    ["a tunnel", (url: string) => webSocketRequest(url, "SPDY/3.1+portforward.k8s.io")],
  ] as const)
    it(`ends a port-forward over ${transport} whose client was reset while its pod was looked up`, async () => {
      let answer = (): void => undefined;
      const lookedUp = new Promise<{ netns: undefined }>((resolve) => {
        answer = () => resolve({ netns: undefined });
      });
      await start({ sandboxNetns: () => lookedUp });
      const accepted = new Promise<Socket>((resolve) => {
        const onSocket = (message: unknown): void => {
          unsubscribe("net.server.socket", onSocket);
          resolve((message as { socket: Socket }).socket);
        };
        subscribe("net.server.socket", onSocket);
      });
      const client = connectTo(server);
      client.write(request(server.portForwardUrl({ podSandboxId: "p1", ports: [80] })));
      const theirs = await accepted;
      await until(() => server.sessions() === 1);
      client.resetAndDestroy();
      await until(() => theirs.closed);
      answer();
      await until(() => server.sessions() === 0, 5_000, "the session is over");
    });

  it("answers a port-forward into a pod that is not ready with its reason", async () => {
    await start({
      sandboxNetns: () => Promise.reject(new CriError("FailedPrecondition", "pod p1 is not ready")),
    });
    const url = server.portForwardUrl({ podSandboxId: "p1", ports: [] });
    const failure = await spdyUpgrade(server, url, "portforward.k8s.io").catch(
      (error: unknown) => error,
    );
    expect((failure as Error).message).to.match(/^HTTP\/1\.1 500 /);
    expect((failure as Error).message).to.contain("pod p1 is not ready");
  });

  for (const opened of [undefined, 0, 1, 2, 3]) {
    const at =
      opened === undefined ? "before it is answered" : `when it has opened ${opened} streams`;
    it(`ends the session of a client at once that is killed ${at}`, async () => {
      const ended: string[] = [];
      const engine = new StreamingEngine(() => undefined);
      const endExec = (id: string): Promise<void> => Promise.resolve(void ended.push(id));
      await start({ engine: engine.calls, endExec });
      const url = server.execUrl({ ...execRequest, stdin: true });
      if (opened === undefined) {
        const socket = connectTo(server);
        await new Promise((resolve) => socket.once("connect", resolve));
        await new Promise((resolve) =>
          socket.write(spdyRequest(url, "v4.channel.k8s.io"), resolve),
        );
        socket.resetAndDestroy();
      } else {
        const client = await spdyUpgrade(server, url);
        for (const streamtype of ["error", "stdin", "stdout"].slice(0, opened))
          client.open({ streamtype });
        if (opened === 3) await until(() => engine.processes.length === 1);
        else expect(server.sessions()).to.equal(1);
        if (client.transport instanceof Socket) client.transport.resetAndDestroy();
      }
      await until(() => server.sessions() === 0, 2_000, "the session ends");
      expect(ended).to.deep.equal(opened === 3 ? ["exec0"] : []);
    });
  }

  it("lets sessions finish within the grace period when it closes, and cuts them after", async () => {
    const engine = new StreamingEngine(() => undefined);
    await start({ engine: engine.calls });
    const first = await openExec(server, {});
    const second = await openExec(server, {});
    await until(() => engine.processes.length === 2);
    const { port } = server.address!;
    const closing = server.close(300);
    engine.processes[0]!.exit(0);
    await first.client.untilClosed();
    expect(statusOf(first.client, first.id)).to.deep.equal({ status: "Success" });
    first.client.transport.destroy();
    expect(second.client.closed).to.equal(false);
    const late = connect(port, "127.0.0.1");
    await new Promise((resolve) => late.once("error", resolve));
    await closing;
    await second.client.untilClosed();
    second.client.transport.destroy();
    expect(server.sessions()).to.equal(0);
    expect(server.address).to.equal(undefined);
  });
});
