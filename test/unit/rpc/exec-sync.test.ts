import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import type { PassThrough } from "node:stream";
import { ends, frame, lost, nothing, refusedWith, run, silent } from "../../support/exec-scene.ts";

describe("ExecSync and an engine that is slow or away", () => {
  it("takes the exit code from the event, without another request", async () => {
    for (const code of [0, 3, 137]) {
      const { answer, inspects, ended } = await run({ start: ends(code, "out") });
      expect(answer).to.include({ exitCode: code });
      expect([inspects, ended]).to.deep.equal([0, 0]);
    }
  });

  it("asks where the event's code is the one of an exec that Docker has lost", async () => {
    const inspect = () => Promise.resolve({ ExitCode: 0, Pid: 42 });
    expect((await run({ start: ends(127), inspect })).answer).to.include({ exitCode: 0 });
    const unknown = await run({ start: ends(127), inspect: () => Promise.reject(lost("timeout")) });
    expect(unknown.answer).to.equal("Unavailable");
  });

  it("is UNAVAILABLE when a request about the exec gets no answer, and the exec is ended", async () => {
    for (const failure of ["timeout", "unreachable", "busy"] as const) {
      const reject = () => Promise.reject(lost(failure));
      const notMade = await run({ create: reject });
      expect([notMade.answer, notMade.ended], failure).to.deep.equal(["Unavailable", 0]);
      const notStarted = await run({ start: reject });
      expect([notStarted.answer, notStarted.ended], failure).to.deep.equal(["Unavailable", 1]);
    }
    const broken = await run({
      start: (stream) => {
        setTimeout(() => stream.destroy(new Error("reset")), 20);
        return Promise.resolve(stream);
      },
    });
    expect([broken.answer, broken.ended]).to.deep.equal(["Unavailable", 1]);
    for (const failure of [lost("timeout"), lost("status", 404), lost("unreachable")]) {
      const unknown = await run({
        start: (stream) => Promise.resolve(stream.end()),
        inspect: () => Promise.reject(failure),
      });
      expect([unknown.answer, unknown.ended]).to.deep.equal(["Unavailable", 1]);
    }
  });

  it("is DEADLINE_EXCEEDED when the command is late under a healthy engine", async () => {
    const { answer, ended, ms } = await run({});
    expect([answer, ended]).to.deep.equal(["DeadlineExceeded", 1]);
    expect(ms).to.be.within(990, 5_000);
  });

  it("is UNAVAILABLE when the time passes and Docker does not say within 2 s what runs", async () => {
    const { answer, ended, ms } = await run({ inspect: silent });
    expect([answer, ended]).to.deep.equal(["Unavailable", 1]);
    expect(ms).to.be.within(2_900, 8_000);
  });

  it("counts the time from the start of the process, not while Docker prepares it", async () => {
    const slow = await run({
      age: 100,
      inspect: (look) =>
        Promise.resolve(look < 4 ? { Running: true, Pid: 0 } : { ExitCode: 0, Pid: 42 }),
    });
    expect([slow.answer, slow.ended]).to.deep.equal([{ ...nothing, exitCode: 0 }, 0]);
    // It ends in its own time, of which Docker's start had taken most.
    const young = await run({
      age: 100,
      inspect: (look) =>
        Promise.resolve(look < 2 ? { Running: true, Pid: 42 } : { ExitCode: 0, Pid: 42 }),
    });
    expect(young.answer).to.include({ exitCode: 0 });
  });

  it("gives the exit code of a command that ended in time, of which Docker knows late", async () => {
    const thawed = await run({
      age: "gone",
      inspect: (look) =>
        Promise.resolve(look < 4 ? { Running: true, Pid: 42 } : { ExitCode: 7, Pid: 42 }),
    });
    expect([(thawed.answer as { exitCode: number }).exitCode, thawed.ended]).to.deep.equal([7, 0]);
  });

  it("waits for a command that has closed its streams", async () => {
    const { answer } = await run({
      timeout: 10n,
      start: (stream, die) => {
        stream.end();
        setTimeout(() => die(4), 400);
        return Promise.resolve(stream);
      },
    });
    expect(answer).to.include({ exitCode: 4 });
  });

  it("takes timeouts of any length, and ends with its caller", async () => {
    for (const timeout of [0n, 2_147_484n, 9_223_372_036_854_775_807n]) {
      const caller = new AbortController();
      setTimeout(() => caller.abort(new Error("gone")), 50);
      const { answer, ended } = await run({ timeout, signal: caller.signal });
      expect([answer, ended], String(timeout)).to.deep.equal(["Internal", 1]);
    }
  });

  it("reports none of 300 as failed whose engine is frozen when their time passes", async () => {
    let frozen = true;
    setTimeout(() => (frozen = false), 4_000);
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, at) =>
        run({
          // They have ended at once; their event was lost with the stream of events.
          age: "gone",
          create: at % 3 === 0 ? unanswered(at) : () => Promise.resolve("e"),
          inspect: async (look, options) =>
            frozen ? await silent(look, options) : { ExitCode: 0 },
          start: (stream) => Promise.resolve(at % 2 === 0 ? stream : stream.end()),
        }),
      ),
    );
    const failed = answers.filter(
      ({ answer }) =>
        answer === "DeadlineExceeded" || (typeof answer === "object" && answer.exitCode !== 0),
    );
    expect(failed).to.deep.equal([]);
  }).timeout(60_000);
});

/** Some fail at the first request. */
const unanswered = (at: number) => () =>
  Promise.reject(lost(at % 2 === 0 ? "timeout" : "unreachable"));

describe("ExecSync of a command that cannot be run", () => {
  const notFound =
    'OCI runtime exec failed: exec failed: unable to start container process: exec: "/no": stat /no: no such file or directory: unknown\r\n';
  const inspect = () => Promise.resolve({ ExitCode: 126, Pid: 0 });

  it("has a shell's exit code, and the reason on stderr", async () => {
    for (const [text, code] of [
      [notFound, 127],
      [notFound.replace("stat /no: no such file or directory", "permission denied"), 126],
      [notFound.replace("stat /no: no such file or directory", "is a directory"), 126],
      [
        'OCI runtime exec failed: exec failed: unable to start container process: chdir to cwd ("/gone") set in config.json failed: no such file or directory: unknown',
        127,
      ],
      [
        'OCI runtime exec failed: exec failed: container_linux.go:380: starting container process caused: exec: "x": executable file not found in $PATH: unknown',
        127,
      ],
      [
        "OCI runtime exec failed: exec failed: executable file `x` not found in $PATH: No such file or directory: unknown",
        127,
      ],
    ] as const) {
      const { answer } = await run({ start: refusedWith(text), inspect });
      const { exitCode, stdout, stderr } = answer as {
        exitCode: number;
        stdout: Uint8Array;
        stderr: Uint8Array;
      };
      expect([exitCode, stdout.length], text).to.deep.equal([code, 0]);
      expect(Buffer.from(stderr).toString()).to.equal(`${text.trimEnd()}\n`);
      // The same in an answer with an error status, as some engines give it.
      const message = `start exec: ${text}`;
      const status = await run({
        start: () =>
          Promise.reject(
            new EngineError({ failure: "status", status: 400, operation: "start exec", message }),
          ),
      });
      expect([(status.answer as { exitCode: number }).exitCode, status.ended]).to.deep.equal([
        code,
        0,
      ]);
    }
  });

  it("is not confused with trouble of the node, which is UNAVAILABLE", async () => {
    for (const text of [
      "ttrpc: closed: unknown",
      "connection error: desc = transport is closing: unavailable",
      "OCI runtime exec failed: exec failed: cannot exec in a stopped container: unknown",
      "OCI runtime exec failed: exec failed: unable to start container process: error adding pid 7 to cgroups: failed to write 7: open /sys/fs/cgroup/x/cgroup.procs: no such file or directory: unknown",
      "OCI runtime exec failed: exec failed: unable to start container process: error executing setns process: exit status 1: unknown",
    ]) {
      const { answer } = await run({ start: refusedWith(text), inspect });
      expect(answer, text).to.equal("Unavailable");
    }
  });

  it("for lack of its interpreter has a shell's exit code too", async () => {
    const withStderr =
      (text: string, code: number) => (stream: PassThrough, die: (code: number) => void) => {
        stream.end(frame(2, text));
        setTimeout(() => die(code), 20);
        return Promise.resolve(stream);
      };
    for (const [text, dies, code] of [
      ["exec /probe: no such file or directory\n", 255, 127],
      ["exec /usr/bin/probe: exec format error\n", 1, 126],
      // These are the command's own words and codes.
      ["exec /other: no such file or directory\n", 255, 255],
      ["exec /probe: no such file or directory\nmore\n", 1, 1],
      ["exec /probe: no such file or directory\n", 2, 2],
    ] as const) {
      const { answer } = await run({ start: withStderr(text, dies) });
      expect((answer as { exitCode: number }).exitCode, text).to.equal(code);
      expect(Buffer.from((answer as { stderr: Uint8Array }).stderr).toString()).to.equal(text);
    }
  });
});
