import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import type { StreamingServerDeps } from "../../../src/streaming/deps.ts";
import type { StreamingServer } from "../../../src/streaming/server.ts";
import { StreamingEngine, outputFrame } from "../../support/streaming-engine.ts";
import type { FakeProcess } from "../../support/streaming-engine.ts";
import { execRequest, openExec, statusOf } from "../../support/streaming-exec.ts";
import { spdyUpgrade, startStreamingServer } from "../../support/streaming-server.ts";
import { until } from "../../support/until.ts";

describe("an exec", () => {
  let server: StreamingServer;
  const start = async (deps: Partial<StreamingServerDeps>): Promise<void> => {
    server = await startStreamingServer(deps);
  };
  afterEach(() => server.close(0));

  it("sends the whole output, then the status, then closes", async () => {
    const engine = new StreamingEngine((process) => {
      process.stream.write(outputFrame("stdout", "a".repeat(200_000)));
      process.stream.write(outputFrame("stderr", "oops"));
      process.exit(3);
    });
    await start({ engine: engine.calls });
    const { client, id } = await openExec(server, { stderr: true });
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
    await until(() => server.sessions() === 0);
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
    await until(() => server.sessions() === 0);
    expect(engine.processes).to.have.length(0);
  });

  it("waits for the exit code when the output ends first", async () => {
    let process: FakeProcess | undefined;
    const engine = new StreamingEngine((started) => {
      process = started;
      started.stream.end();
    });
    await start({ engine: engine.calls });
    const { client, id } = await openExec(server, {});
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
    const { client, id } = await openExec(server, {});
    await client.untilClosed();
    expect(client.received(id["stdout"]!).text).to.equal("half");
    expect(statusOf(client, id)).to.include({ status: "Failure", reason: "InternalError" });
    client.transport.destroy();
  });

  it("has its exit code although Docker does not tell it at once", async () => {
    const engine = new StreamingEngine((process) => process.exit(7));
    const { calls } = engine;
    const failures = [
      new EngineError({ operation: "x", failure: "timeout", message: "slow" }),
      new EngineError({ operation: "x", failure: "unreachable", message: "away" }),
      new EngineError({ operation: "x", failure: "status", status: 500, message: "no" }),
    ];
    const inspectExec: typeof calls.inspectExec = (...args) => {
      const failure = failures.shift();
      return failure === undefined ? calls.inspectExec(...args) : Promise.reject(failure);
    };
    await start({ engine: { ...calls, inspectExec } });
    const { client, id } = await openExec(server, { stdin: true });
    await client.untilClosed();
    client.transport.destroy();
    expect(failures).to.deep.equal([]);
    expect(statusOf(client, id)).to.include({ reason: "NonZeroExitCode" });
  });

  it("fails at once when Docker no longer knows it", async () => {
    const engine = new StreamingEngine((process) => process.exit(0));
    let asked = 0;
    const inspectExec = (): Promise<never> => {
      asked += 1;
      const fields = {
        operation: "x",
        failure: "status" as const,
        status: 404,
        message: "no exec",
      };
      return Promise.reject(new EngineError(fields));
    };
    await start({ engine: { ...engine.calls, inspectExec } });
    const { client, id } = await openExec(server, {});
    await client.untilClosed();
    client.transport.destroy();
    expect(asked).to.equal(1);
    expect(statusOf(client, id)).to.include({ status: "Failure", reason: "InternalError" });
  });

  for (const [what, broken, request, kills] of [
    ["the answer to its start was lost", "start", {}, 1],
    ["somebody sat at it, and the connection with its output broke", "output", { stdin: true }, 1],
    ["it only wrote, and the connection with its output broke", "output", {}, 0],
  ] as const) {
    it(`${kills === 1 ? "is ended" : "goes on"} when ${what}`, async () => {
      const ended: string[] = [];
      const engine = new StreamingEngine(() => undefined);
      const { calls } = engine;
      await start({
        engine: {
          ...calls,
          startExec: async (...args) => {
            const stream = await calls.startExec(...args);
            if (broken === "start") {
              throw new EngineError({ operation: "start exec", failure: "timeout", message: "no" });
            }
            setTimeout(() => stream.destroy(new Error("reset")), 20);
            return stream;
          },
        },
        endExec: (execId) => Promise.resolve(void ended.push(execId)),
      });
      const { client } = await openExec(server, request);
      await client.untilClosed();
      client.transport.destroy();
      expect(ended).to.have.length(kills);
    });
  }

  it("is noted while it runs, if it is to end with its client", async () => {
    const notes: string[] = [];
    const engine = new StreamingEngine((process) => process.exit(0));
    await start({
      engine: engine.calls,
      execNotes: {
        oweExec: (id, container) => notes.push(`${id} in ${container}`),
        execDone: (id) => notes.push(`${id} over`),
      },
    });
    for (const request of [{ stdin: true }, {}]) {
      const { client } = await openExec(server, request);
      await client.untilClosed();
      client.transport.destroy();
    }
    const { containerId } = execRequest;
    expect(notes).to.deep.equal([`exec0 in ${containerId}`, "exec0 over", "exec1 over"]);
  });

  it("gives Docker keys to detach that are not ctrl-p ctrl-q, and applies sizes", async () => {
    const engine = new StreamingEngine(() => undefined);
    await start({ engine: engine.calls });
    const { client, id } = await openExec(server, { tty: true, stdin: true });
    client.send(id["resize"]!, '{"Width":77,"Height":22}\n');
    await until(() => engine.processes[0]?.sizes.length === 1);
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
      const { client } = await openExec(server, request);
      await until(() => engine.processes.length === 1);
      client.transport.destroy();
      const process = engine.processes[0]!;
      if (kills === 1) await until(() => process.stream.destroyed);
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
      await until(() => server.sessions() === 0);
      expect(ended).to.have.length(kills);
    });
  }

  describe("that Docker cannot start", () => {
    const missing =
      'OCI runtime exec failed: exec failed: unable to start container process: exec: "nope": ' +
      "executable file not found in $PATH: unknown\r\n";
    const ofTheNode = "OCI runtime exec failed: exec failed: cgroup: no memory: unknown\r\n";
    const exitCause = (code: number): object => ({
      causes: [{ reason: "ExitCode", message: String(code) }],
    });
    const run = async (
      request: Partial<typeof execRequest>,
      act: (process: FakeProcess) => void,
    ): Promise<{ stdout: string; stderr: string; status: Record<string, unknown> }> => {
      const engine = new StreamingEngine(act);
      await start({ engine: engine.calls });
      const { client, id } = await openExec(server, request);
      await client.untilClosed();
      client.transport.destroy();
      const textOf = (name: string): string =>
        id[name] === undefined ? "" : client.received(id[name]).text;
      const status = statusOf(client, id);
      return { stdout: textOf("stdout"), stderr: textOf("stderr"), status };
    };

    it("has the reason on stderr and a shell's exit code", async () => {
      const got = await run({ stderr: true, stdin: true }, (process) =>
        process.refuse(127, outputFrame("stdout", missing)),
      );
      expect(got).to.include({ stdout: "", stderr: missing.replace("\r\n", "\n") });
      expect(got.status).to.include({ reason: "NonZeroExitCode" });
      expect(got.status["details"]).to.deep.equal(exitCause(127));
    });

    for (const tty of [false, true])
      it(`for lack of its interpreter has a shell's exit code too${tty ? ", at a terminal" : ""}`, async () => {
        const line = "exec /bin/script: no such file or directory";
        const end = async (said: string, code: number): Promise<unknown> => {
          const { stdout, stderr, status } = await run(
            tty ? { tty, cmd: ["script"] } : { stderr: true, cmd: ["script"] },
            (process) => {
              process.stream.write(tty ? `${said}\r\n` : outputFrame("stderr", `${said}\n`));
              process.exit(code);
            },
          );
          expect(tty ? stdout : stderr).to.equal(tty ? `${said}\r\n` : `${said}\n`);
          return status["details"];
        };
        for (const code of [1, 255]) expect(await end(line, code)).to.deep.equal(exitCause(127));
        expect(await end("exec /script: exec format error", 1)).to.deep.equal(exitCause(126));
        // What a program says and how it ends is its own affair.
        expect(await end(line, 2)).to.deep.equal(exitCause(2));
        expect(await end(`more\n${line}`, 1)).to.deep.equal(exitCause(1));
        expect(await end(line.replace("script", "other"), 1)).to.deep.equal(exitCause(1));
      });

    it("has the reason on its terminal", async () => {
      const got = await run({ tty: true, stdin: true }, (process) => process.refuse(127, missing));
      expect(got.stdout).to.equal(missing);
      expect(got.status["details"]).to.deep.equal(exitCause(127));
    });

    for (const [what, request, text] of [
      ["the client takes no stderr", {}, missing],
      ["the fault is the node's", { stderr: true }, ofTheNode],
      ["the fault is the node's and there is a terminal", { tty: true }, ofTheNode],
    ] as const)
      it(`fails with the reason where ${what}`, async () => {
        const got = await run(request, (process) =>
          process.refuse(126, "tty" in request ? text : outputFrame("stdout", text)),
        );
        expect(got).to.include({ stdout: "", stderr: "" });
        expect(got.status).to.include({ status: "Failure", reason: "InternalError" });
        expect(got.status["message"]).to.contain(text.trimEnd());
      });

    it("has the same where Docker answers the start with an error", async () => {
      const engine = new StreamingEngine(() => undefined);
      const answer = { failure: "status", status: 400, operation: "start exec" } as const;
      const refused = new EngineError({ ...answer, message: missing.trimEnd() });
      await start({ engine: { ...engine.calls, startExec: () => Promise.reject(refused) } });
      const { client, id } = await openExec(server, { stderr: true });
      await client.untilClosed();
      client.transport.destroy();
      expect(client.received(id["stderr"]!).text).to.contain('"nope": executable file not found');
      expect(statusOf(client, id)["details"]).to.deep.equal(exitCause(127));
    });

    for (const tty of [false, true])
      it(`is not mistaken for a program that prints the same${tty ? " on a terminal" : ""}`, async () => {
        const frame = (text: string): Buffer | string => (tty ? text : outputFrame("stdout", text));
        const got = await run({ tty }, (process) => {
          process.stream.write(frame(missing));
          setTimeout(() => {
            process.stream.write(frame("more"));
            process.exit(0);
          }, 20);
        });
        expect(got).to.deep.include({ stdout: `${missing}more`, status: { status: "Success" } });
      });
  });
});
