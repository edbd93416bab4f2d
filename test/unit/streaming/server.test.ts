import { connect } from "node:net";
import { expect } from "chai";
import { CriError } from "../../../src/errors.ts";
import { createStreamingServer } from "../../../src/streaming/server.ts";
import type { StreamingServer, StreamingServerDeps } from "../../../src/streaming/server.ts";
import { silentLogger } from "../../../src/log.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import type { SpdyClient } from "../../support/spdy-client.ts";
import { StreamingEngine, outputFrame } from "../../support/streaming-engine.ts";
import type { FakeProcess } from "../../support/streaming-engine.ts";
import { spdyUpgrade, startStreamingServer } from "../../support/streaming-server.ts";

const execRequest = {
  ...{ containerId: "c1", cmd: ["x"], tty: false, stdin: false, stdout: true, stderr: false },
};

const eventually = async (condition: () => boolean): Promise<void> => {
  for (let round = 0; !condition(); round += 1) {
    if (round > 200) throw new Error("not within two seconds");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

describe("the streaming server", () => {
  let server: StreamingServer;
  const start = async (deps: Partial<StreamingServerDeps>): Promise<StreamingServer> => {
    server = await startStreamingServer(deps);
    return server;
  };
  afterEach(() => server.close(0));

  /** Opens what client-go opens for the request. */
  const openExec = async (
    request: Partial<typeof execRequest>,
    protocol?: string,
  ): Promise<{ client: SpdyClient; id: Record<string, number> }> => {
    const full = { ...execRequest, ...request };
    const client = await spdyUpgrade(server, server.execUrl(full), protocol);
    const id: Record<string, number> = { error: client.open({ streamtype: "error" }) };
    for (const name of ["stdin", "stdout", "stderr"] as const) {
      if (full[name]) id[name] = client.open({ streamtype: name });
    }
    if (full.tty) id["resize"] = client.open({ streamtype: "resize" });
    return { client, id };
  };
  const statusOf = (client: SpdyClient, id: Record<string, number>): Record<string, unknown> =>
    JSON.parse(client.received(id["error"]!).text) as Record<string, unknown>;

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

  it("does not serve other machines in the clear unless it is told to", async () => {
    await start({});
    const deps: StreamingServerDeps = {
      engine: new StreamingEngine(() => undefined).calls,
      sandboxNetns: () => Promise.resolve({ netns: undefined }),
      endExec: () => Promise.resolve(),
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

  it("sends the whole output, then the status, then closes", async () => {
    const engine = new StreamingEngine((process) => {
      process.stream.write(outputFrame("stdout", "a".repeat(200_000)));
      process.stream.write(outputFrame("stderr", "oops"));
      process.exit(3);
    });
    await start({ engine: engine.calls });
    const { client, id } = await openExec({ stderr: true });
    await client.untilClosed();
    expect(client.received(id["stdout"]!)).to.deep.equal({ text: "a".repeat(200_000), fin: true });
    expect(client.received(id["stderr"]!)).to.deep.equal({ text: "oops", fin: true });
    expect(statusOf(client, id)).to.include({ status: "Failure", reason: "NonZeroExitCode" });
    const last = client.frames.findLastIndex(
      (frame) => frame.type === "data" && frame.streamId !== id["error"],
    );
    const first = client.frames.findIndex(
      (frame) => frame.type === "data" && frame.streamId === id["error"],
    );
    expect(first).to.be.above(last);
    expect(client.frames.at(-1)).to.include({ type: "goAway", status: 0 });
    client.transport.destroy();
    await eventually(() => server.sessions() === 0);
  });

  it("starts nothing before the client has opened all its streams", async () => {
    const engine = new StreamingEngine((process) => process.exit(0));
    await start({ engine: engine.calls });
    const client = await spdyUpgrade(server, server.execUrl({ ...execRequest, stdin: true }));
    client.open({ streamtype: "error" });
    client.open({ streamtype: "stdout" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(engine.processes).to.have.length(0);
    client.open({ streamtype: "stdin" });
    await client.untilClosed();
    expect(engine.processes).to.have.length(1);
    client.transport.destroy();
  });

  it("gives a client up that does not open its streams", async () => {
    const engine = new StreamingEngine((process) => process.exit(0));
    await start({ engine: engine.calls, streamCreationTimeoutMs: 50 });
    const client = await spdyUpgrade(server, server.execUrl(execRequest));
    client.open({ streamtype: "stdout" });
    await client.untilClosed();
    client.transport.destroy();
    await eventually(() => server.sessions() === 0);
    expect(engine.processes).to.have.length(0);
  });

  it("waits for the exit code when the output ends first", async () => {
    let process: FakeProcess | undefined;
    const engine = new StreamingEngine((started) => {
      process = started;
      started.stream.end();
    });
    await start({ engine: engine.calls });
    const { client, id } = await openExec({});
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(client.has("goAway")).to.equal(false);
    process!.exit(0);
    await client.untilClosed();
    expect(statusOf(client, id)).to.deep.equal({ status: "Success" });
    client.transport.destroy();
  });

  it("never takes a lost engine for a success", async () => {
    const engine = new StreamingEngine((process) => {
      process.stream.write(outputFrame("stdout", "half"));
      setTimeout(() => process.stream.destroy(), 20);
    });
    // The connection breaks without an end.
    const calls = engine.calls;
    await start({
      engine: {
        ...calls,
        startExec: async (...args) => {
          const stream = await calls.startExec(...args);
          engine.processes[0]!.stream.once("close", () => stream.destroy(new Error("reset")));
          return stream;
        },
      },
    });
    const { client, id } = await openExec({});
    await client.untilClosed();
    expect(client.received(id["stdout"]!).text).to.equal("half");
    expect(statusOf(client, id)).to.include({ status: "Failure", reason: "InternalError" });
    client.transport.destroy();
  });

  it("gives Docker keys to detach that are not ctrl-p ctrl-q, and applies sizes", async () => {
    const engine = new StreamingEngine(() => undefined);
    await start({ engine: engine.calls });
    const { client, id } = await openExec({ tty: true, stdin: true });
    client.send(id["resize"]!, '{"Width":77,"Height":22}\n');
    await eventually(() => engine.processes[0]?.sizes.length === 1);
    const process = engine.processes[0]!;
    expect(process.sizes).to.deep.equal(["77x22"]);
    expect(process.create).to.include({ Tty: true, AttachStdin: true, AttachStderr: false });
    expect(process.create!.DetachKeys).to.not.contain("ctrl-p");
    // A tty's stdin does not end with the client's: Docker would end the output.
    client.send(id["stdin"]!, "", true);
    process.stream.write("raw \x01\x00 output");
    await client.until(() => client.received(id["stdout"]!).text.includes("raw"));
    expect(process.stream.readableEnded).to.equal(false);
    process.exit(0);
    await client.untilClosed();
    client.transport.destroy();
  });

  for (const [what, request, kills] of [
    ["stdin", { stdin: true }, 1],
    ["a tty", { tty: true }, 1],
    ["neither", {}, 0],
  ] as const) {
    it(`of an exec with ${what} ${kills === 1 ? "ends" : "lets live"} the process of a lost client`, async () => {
      const ended: string[] = [];
      const engine = new StreamingEngine((process) => process.stream.resume());
      await start({
        engine: engine.calls,
        endExec: (execId) => Promise.resolve(void ended.push(execId)),
      });
      const { client } = await openExec(request);
      await eventually(() => engine.processes.length === 1);
      client.transport.destroy();
      const process = engine.processes[0]!;
      if (kills === 1) await eventually(() => process.stream.destroyed);
      else {
        // A megabyte more than any buffer holds is still taken from it.
        for (let round = 0; round < 64; round += 1) {
          await new Promise<void>((resolve) => {
            process.stream.write(outputFrame("stdout", Buffer.alloc(65_536)), () => resolve());
          });
        }
        expect(server.sessions()).to.equal(1);
        process.exit(0);
      }
      await eventually(() => server.sessions() === 0);
      expect(ended).to.have.length(kills);
    });
  }

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

  it("lets sessions finish within the grace period when it closes, and cuts them after", async () => {
    const engine = new StreamingEngine(() => undefined);
    await start({ engine: engine.calls });
    const first = await openExec({});
    const second = await openExec({});
    await eventually(() => engine.processes.length === 2);
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
