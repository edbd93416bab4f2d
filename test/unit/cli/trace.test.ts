import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http2";
import { join } from "node:path";
import { expect } from "chai";
import { parseTraceArguments } from "../../../src/cli/trace-arguments.ts";
import { CriError } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/log.ts";
import type { CallTrace } from "../../../src/sys/call-trace.ts";
import { TraceHub } from "../../../src/trace/hub.ts";
import { serveTrace } from "../../../src/trace/server.ts";
import type { TraceServer } from "../../../src/trace/server.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

const program = join(import.meta.dirname, "..", "..", "..", "bin", "dockline");

describe("the arguments of dockline trace", () => {
  const parse = (...args: string[]) => parseTraceArguments(args, { DOCKLINE_RUN_DIR: "/r" });

  it("are filters, a window, files and a socket", () => {
    expect(parse()).to.deep.equal({
      filter: {},
      slowest: undefined,
      windowMs: 10_000,
      forMs: undefined,
      json: false,
      record: undefined,
      replay: undefined,
      width: undefined,
      socket: "/r/trace.sock",
    });
    expect(parse("--pod=a/b", "--rpc", "stop*, PullImage", "--over=1m30s")).to.deep.include({
      filter: { pod: "a/b", rpcs: ["stop*", "PullImage"], overMs: 90_000 },
    });
    expect(parse("--slowest", "--top=3", "--window=1m")).to.deep.include({
      slowest: 3,
      windowMs: 60_000,
    });
    expect(parse("--help", "--json")).to.equal("help");
  });

  it("are refused by name", () => {
    for (const [words, args] of [
      ["--unknown", ["--unknown"]],
      ["pods", ["pods"]],
      ['there is no RPC called "RunPod"', ["--rpc=RunPod"]],
      ["no name is given", ["--rpc=,"]],
      ["--over=soon", ["--over=soon"]],
      ["--window: want more than 0", ["--slowest", "--window=0"]],
      ["belong to --slowest", ["--top=3"]],
      ["--top=0", ["--slowest", "--top=0"]],
      ["--top=x", ["--top=x"]],
      ['there is no RPC called "!RunPod"', ["--rpc=!RunPod"]],
      ["--replay goes without", ["--replay=a", "--record=b"]],
      ["--pod", ["--pod"]],
    ] as const) {
      expect(() => parse(...args), args.join(" ")).to.throw(CriError, words);
    }
  });
});

describe("dockline trace", function () {
  // Each test starts several Node processes.
  this.timeout(60_000);
  let folder: ReturnType<typeof tempFolder>;
  let hub: TraceHub;
  let server: TraceServer;

  beforeEach(async () => {
    folder = tempFolder();
    hub = new TraceHub();
    const path = folder.path("t.sock");
    server = await serveTrace({ path, hub, pulls: () => [], log: silentLogger });
  });
  afterEach(async () => {
    await server.close();
    folder.remove();
  });

  interface Run {
    out: () => string;
    ended: Promise<{ code: number | null; out: string; err: string }>;
    interrupt: () => void;
  }
  const run = (...args: string[]): Run => {
    const child = spawn(program, ["trace", ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    return {
      out: () => out,
      ended: (once(child, "close") as Promise<[number | null]>).then(([code]) => ({
        code,
        out,
        err,
      })),
      interrupt: () => void child.kill("SIGINT"),
    };
  };
  const tell = (rpc: string, podName: string, durationMs: number): void => {
    const call: CallTrace = {
      rpc,
      startedAtMs: 0,
      wallMs: Date.now(),
      target: { podName, namespace: "shop" },
      steps: [{ kind: "docker", name: "POST /x", status: 200, startMs: 1, durationMs: 2 }],
    };
    hub.begin(call);
    hub.end(Object.assign(call, { code: "OK", durationMs }));
  };

  it("shows, filters and records live calls; the replay of the recording is the same", async () => {
    const file = folder.path("recording");
    const live = run("--socket", folder.path("t.sock"), "--pod=shop/web", `--record=${file}`);
    await until(() => server.listeners() === 1);
    tell("RunPodSandbox", "web", 30);
    tell("RunPodSandbox", "other", 30);
    tell("StopPodSandbox", "web", 20);
    await until(() => live.out().includes("StopPodSandbox"));
    live.interrupt();
    const { code, out, err } = await live.ended;
    expect([code, err]).to.deep.equal([0, ""]);
    expect(out).not.to.include("other");
    const lines = out.trimEnd().split("\n");
    expect(lines).to.have.length(7);
    expect(lines[0]).to.match(/^-- \d{4}-\d\d-\d\d, UTC[+-]\d\d:\d\d --$/);
    for (const line of lines) expect(line.length).to.be.at.most(80);
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    expect((await run("--replay", file).ended).out).to.equal(out);
    expect((await run("--replay", file, "--json").ended).out).to.equal(readFileSync(file, "utf8"));
    const again = await run("--socket", folder.path("t.sock"), `--record=${file}`).ended;
    expect(again.code).to.equal(1);
    expect(again.err).to.include("file already exists");
  });

  it("shows the slowest of a window, and of a file", async () => {
    const file = folder.path("recording");
    const live = run("--socket", folder.path("t.sock"), "--slowest", "--top=2", `--record=${file}`);
    await until(() => server.listeners() === 1);
    for (const ms of [5, 30, 10, 20]) tell("RunPodSandbox", `web-${ms}`, ms);
    await until(() => readFileSync(file, "utf8").split("\n").length === 5);
    live.interrupt();
    const { out } = await live.ended;
    expect(out.match(/shop\/web-\d+/g)).to.deep.equal(["shop/web-30", "shop/web-20"]);
    expect(out).to.match(/^-- the slowest 2 of 4 calls --\n/);
    expect((await run("--replay", file, "--slowest", "--top=2").ended).out).to.equal(out);
  });

  it("ends by itself after --for, and says when the daemon has gone", async () => {
    const short = await run("--socket", folder.path("t.sock"), "--for=100ms").ended;
    expect([short.code, short.err]).to.deep.equal([0, "dockline trace: there was no call\n"]);
    const live = run("--socket", folder.path("t.sock"));
    await until(() => server.listeners() === 1);
    await server.close();
    expect(await live.ended).to.deep.include({
      code: 1,
      err: "dockline trace: the daemon has closed the connection\n",
    });
  });

  it("says what it cannot read, and where no daemon is", async () => {
    const none = await run("--socket", folder.path("none")).ended;
    expect([none.code, none.err]).to.satisfy(
      ([code, err]: [number, string]) =>
        code === 1 && /no daemon listens at .*none.*: no such file/.test(err),
    );
    writeFileSync(folder.path("text"), "hello\n");
    const text = await run("--replay", folder.path("text")).ended;
    expect(text).to.deep.include({ code: 1, err: "dockline trace: line 1 is not JSON\n" });
    const noFile = await run("--replay", folder.path("none")).ended;
    expect(noFile.code).to.equal(1);
    expect((await run("--bogus").ended).code).to.equal(2);
  });

  it("says that a socket is another server's", async () => {
    const other = createServer().listen(folder.path("grpc.sock"));
    try {
      await once(other, "listening");
      const { code, err } = await run("--socket", folder.path("grpc.sock"), "--for=20s").ended;
      expect(code).to.equal(1);
      expect(err).to.contain("this is another protocol, no trace");
    } finally {
      other.close();
    }
  });

  it("says when nothing passed its filter", async () => {
    const file = folder.path("recording");
    const live = run("--socket", folder.path("t.sock"), `--record=${file}`);
    await until(() => server.listeners() === 1);
    tell("RunPodSandbox", "web", 30);
    await until(() => live.out().includes("RunPodSandbox"));
    live.interrupt();
    await live.ended;
    expect(await run("--replay", file, "--pod=nosuch").ended).to.deep.equal({
      ...{ code: 0, out: "" },
      err: "dockline trace: none of 1 events passed the filter; --pod was nosuch\n",
    });
  });
});
