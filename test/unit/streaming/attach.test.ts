import { Duplex } from "node:stream";
import { expect } from "chai";
import { WebSocket } from "ws";
import { encodeRstStream } from "../../../src/streaming/spdy/frames.ts";
import type { StreamingServer } from "../../../src/streaming/server.ts";
import type { SpdyClient } from "../../support/spdy-client.ts";
import { StreamingEngine, outputFrame } from "../../support/streaming-engine.ts";
import type { FakeProcess } from "../../support/streaming-engine.ts";
import { spdyUpgrade, startStreamingServer } from "../../support/streaming-server.ts";
import { until } from "../../support/until.ts";

describe("an attach", () => {
  let server: StreamingServer;
  let engine: StreamingEngine;
  afterEach(() => server.close(0));

  const attach = async (
    run: (process: FakeProcess) => void,
    container: Partial<StreamingEngine["container"]>,
  ): Promise<{ client: SpdyClient; error: number; stdin: number; stdout: number }> => {
    engine = new StreamingEngine(run);
    Object.assign(engine.container, container);
    server = await startStreamingServer({ engine: engine.calls });
    const client = await spdyUpgrade(
      server,
      server.attachUrl({
        ...{ containerId: "c1", tty: engine.container.Tty },
        ...{ stdin: true, stdout: true, stderr: false },
      }),
    );
    const error = client.open({ streamtype: "error" });
    const stdin = client.open({ streamtype: "stdin" });
    const stdout = client.open({ streamtype: "stdout" });
    if (engine.container.Tty) client.open({ streamtype: "resize" });
    return { client, error, stdin, stdout };
  };

  for (const [what, container] of [
    ["without a tty", { Tty: false, StdinOnce: false }],
    ["with a tty", { Tty: true, StdinOnce: false }],
    ["with a tty and stdinOnce", { Tty: true, StdinOnce: true }],
  ] as const)
    it(`detaches at the end of its stdin, with all that was typed and answered, ${what}`, async () => {
      const frame = (text: string): Buffer | string =>
        container.Tty ? text : outputFrame("stdout", text);
      let got = "";
      let ended = false;
      const { client, error, stdin, stdout } = await attach((process) => {
        process.stream.on("data", (chunk: Buffer) => {
          got += chunk.toString();
          setTimeout(() => process.stream.write(frame("answer")), 100);
        });
        process.stream.once("end", () => (ended = true));
      }, container);
      const typed = "x".repeat(50_000);
      const began = performance.now();
      client.send(stdin, typed, true);
      await client.untilClosed();
      expect(performance.now() - began).to.be.below(1_000 + 1_000);
      expect(JSON.parse(client.received(error).text)).to.deep.equal({ status: "Success" });
      expect(client.received(stdout).text).to.contain("answer");
      // Docker takes this end, too, for a detach.
      await until(() => ended);
      expect(got).to.equal(typed);
      expect(engine.processes[0]!.stream.destroyed, "the container goes on").to.equal(false);
      // What it still says holds nobody up.
      const chunk = Buffer.alloc(1 << 20, ".");
      await new Promise<unknown>((resolve) =>
        engine.processes[0]!.stream.write(
          container.Tty ? chunk : outputFrame("stdout", chunk),
          resolve,
        ),
      );
    });

  describe("whose client types and leaves at once", () => {
    const lines = ["a", "b", "c", "d", "e"].map((letter) => letter.repeat(10_000));
    /** Docker's side: takes one line, and the others on request. */
    const slowDocker = (taking: Promise<void>): { stream: Duplex; got: () => string } => {
      let got = "";
      const stream = new Duplex({
        writableHighWaterMark: 1,
        read: () => undefined,
        write: (chunk: Buffer, _encoding, callback) => {
          got += chunk.toString();
          void taking.then(() => callback());
        },
      });
      return { stream, got: () => got };
    };
    const leave = {
      WebSocket: async (url: string) => {
        const ws = new WebSocket(url.replace("http", "ws"), ["v4.channel.k8s.io"]);
        const closed = new Promise((resolve) => ws.once("close", resolve));
        await new Promise((resolve) => ws.once("open", resolve));
        for (const line of lines) ws.send(Buffer.from(`\0${line}`));
        ws.close();
        await closed;
      },
      SPDY: async (url: string, resets = false) => {
        const client = await spdyUpgrade(server, url);
        const ids = ["error", "stdin", "stdout"].map((streamtype) => client.open({ streamtype }));
        for (const line of lines) client.send(ids[1]!, line);
        if (resets) for (const id of ids) client.transport.write(encodeRstStream(id, 5));
        client.transport.end();
        await client.untilClosed();
      },
      "SPDY with resets": (url: string) => leave.SPDY(url, true),
    };
    for (const late of ["is asked for the container", "takes input"])
      for (const how of Object.keys(leave) as (keyof typeof leave)[])
        it(`passes everything on over ${how}, though it has left before Docker ${late}`, async () => {
          let goOn = (): void => undefined;
          const waiting = new Promise<void>((resolve) => (goOn = resolve));
          const atOnce = Promise.resolve();
          const lateInput = late === "takes input";
          const docker = slowDocker(lateInput ? waiting : atOnce);
          engine = new StreamingEngine(() => undefined);
          const { calls } = engine;
          server = await startStreamingServer({
            engine: {
              ...calls,
              inspectContainer: (id) =>
                (lateInput ? atOnce : waiting).then(() => calls.inspectContainer(id)),
              attachContainer: () => Promise.resolve(docker.stream),
            },
          });
          const url = server.attachUrl({
            ...{ containerId: "c1", tty: false },
            ...{ stdin: true, stdout: true, stderr: false },
          });
          await leave[how](url);
          if (lateInput) await until(() => server.sessions() === 0);
          goOn();
          // What Docker takes for a detach.
          await until(() => docker.stream.writableFinished, 5_000, "Docker sees the client's end");
          expect(docker.got()).to.equal(lines.join(""));
          await until(() => server.sessions() === 0);
          expect(docker.stream.destroyed).to.equal(false);
          docker.stream.push(null);
          await until(() => docker.stream.destroyed);
        });
  });

  it("ends the container's stdin with its own where that is meant for one client", async () => {
    let ended = false;
    const { client, error, stdin } = await attach(
      (process) => {
        process.stream.resume().once("end", () => {
          ended = true;
          setTimeout(() => process.exit(0), 1_500);
        });
      },
      { Tty: false, StdinOnce: true },
    );
    client.send(stdin, "x", true);
    await until(() => ended);
    expect(client.received(error).fin, "the output goes on").to.equal(false);
    await client.untilClosed();
    expect(JSON.parse(client.received(error).text)).to.deep.equal({ status: "Success" });
  });

  it("ends with a client that takes no output, and tells it so when it reads again", async () => {
    let written = 0;
    let writing = true;
    const { client, error, stdout } = await attach((process) => {
      process.stream.on("close", () => (writing = false));
      const more = (): void => {
        if (!writing) return;
        process.stream.write(outputFrame("stdout", Buffer.alloc(60_000)), () => {
          written += 60_000;
          setImmediate(more);
        });
      };
      more();
    }, {});
    await client.until(() => client.received(stdout).text.length > 0);
    client.transport.pause();
    await until(() => !writing, 20_000, "Docker's stream is let go");
    expect(written).to.be.above(60_000);
    client.transport.resume();
    await client.untilClosed();
    expect(client.received(error).text).to.contain("has taken no output for 5 seconds");
  }).timeout(40_000);

  it("is over with a client that never reads again", async () => {
    const { client, stdout } = await attach((process) => {
      const more = (): void => {
        if (process.stream.destroyed) return;
        process.stream.write(outputFrame("stdout", Buffer.alloc(60_000)), () => setImmediate(more));
      };
      more();
    }, {});
    await client.until(() => client.received(stdout).text.length > 0);
    client.transport.pause();
    await until(() => server.sessions() === 0, 30_000, "the session is over");
  }).timeout(40_000);

  for (const Tty of [false, true])
    it(`holds up nobody after its stdin has ended, though its client takes no output, ${Tty ? "with" : "without"} a tty`, async () => {
      const chunk = Buffer.alloc(60_000, ".");
      let written = 0;
      const { client, stdin, stdout } = await attach(
        (process) => {
          const more = (): void => {
            process.stream.write(Tty ? chunk : outputFrame("stdout", chunk), () => {
              written += chunk.length;
              if (written < 64 << 20) setImmediate(more);
            });
          };
          more();
        },
        { Tty },
      );
      await client.until(() => client.received(stdout).text.length > 0);
      client.transport.pause();
      client.send(stdin, "x", true);
      await until(() => written >= 64 << 20, 60_000, "the container has said everything");
    }).timeout(90_000);

  it("without stdin is no connection with Docker any more when its client has gone", async () => {
    const { client } = await attach(() => undefined, { OpenStdin: false });
    await until(() => engine.processes.length === 1);
    client.transport.destroy();
    await until(() => engine.processes[0]!.stream.destroyed, 5_000, "Docker's stream is let go");
  });
});
