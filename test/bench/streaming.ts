import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDockerEngine } from "../../src/engine/docker-engine.ts";
import { silentLogger } from "../../src/log.ts";
import { createStreamingServer } from "../../src/streaming/server.ts";
import { systemClock } from "../../src/sys/clock.ts";
import { runProcess } from "../../src/sys/process.ts";
import { noExecNotes } from "../support/exec-notes.ts";
import { busybox, ensureImage } from "../support/test-images.ts";
import { benchHelperStart, benchIdle, verdict } from "./streaming-sessions.ts";

const megabyte = 1 << 20;
const size = Number(process.env["DOCKLINE_BENCH_MEGABYTES"] ?? "256") * megabyte;
const rounds = Number(process.env["DOCKLINE_BENCH_ROUNDS"] ?? "5");
/** 300 connections one after the other in each round: to the first byte that the pod says. */
const directFirstByte = "first byte, direct TCP";
const forwardedFirstByte = "port-forward first byte";
const firstByteGoalMs = (directMs: number): number => 1.5 * directMs + 1;
const goFolder = join(import.meta.dirname, "../interop/streaming");

interface Measurement {
  bytes: number;
  seconds: number;
  cpuMs: number;
  /** Of the client's process. */
  clientCpuMs: number;
  p50Ms?: number;
  p99Ms?: number;
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const speedOf = ({ bytes, seconds }: Measurement): number => bytes / megabyte / seconds;

/**
 * Throughput and CPU of exec and port-forward with Go's client, beside a plain relay of the same
 * hijacked stream and beside TCP inside the pod's network namespace. CPU is this process's, which is
 * the server and nothing else. Needs root and Go. Returns a line for each case.
 */
export async function benchStreaming(socketPath: string): Promise<string[]> {
  const run = async (program: string, args: string[], cwd = "/"): Promise<string> => {
    const env = {
      PATH: process.env["PATH"] ?? "",
      HOME: process.env["HOME"] ?? "/",
      DOCKER_HOST: `unix://${socketPath}`,
      CGO_ENABLED: "0",
      GOFLAGS: "-buildvcs=false",
    };
    const result = await runProcess(program, args, { env, timeoutMs: 600_000, cwd });
    if (result.exitCode !== 0) throw new Error(`${program} ${args.join(" ")}: ${result.stderr}`);
    return result.stdout.trim();
  };

  const folder = mkdtempSync(join(tmpdir(), "dockline-bench-"));
  const client = join(folder, "benchclient");
  const podServer = join(folder, "podserver");
  await run("go", ["build", "-o", client, "./benchclient"], goFolder);
  await run("go", ["build", "-o", podServer, "./podserver"], goFolder);

  const engine = createDockerEngine({ endpoint: `unix://${socketPath}`, log: silentLogger });
  await ensureImage(engine, busybox);
  const pod = await run("docker", [
    ...["create", "--network", "none", busybox, "/podserver"],
    ...["source=127.0.0.1:8083", "sum=127.0.0.1:8082", "banner=127.0.0.1:8084"],
  ]);
  await run("docker", ["cp", podServer, `${pod}:/podserver`]);
  await run("docker", ["start", pod]);
  const netns = (await engine.inspectContainer(pod)).NetworkSettings.SandboxKey;

  const server = createStreamingServer({
    engine,
    clock: systemClock,
    log: silentLogger,
    sandboxNetns: () => Promise.resolve({ netns }),
    endExec: () => Promise.resolve(),
    execNotes: noExecNotes,
  });
  await server.start();

  const producer = ["dd", "if=/dev/zero", "bs=65536", `count=${size / 65_536}`];
  const consumer = ["sh", "-c", "cat >/dev/null"];

  const execUrl = (direction: "in" | "out"): string => {
    const stdin = direction === "in";
    const cmd = stdin ? consumer : producer;
    return server.execUrl({
      containerId: pod,
      cmd,
      tty: false,
      stdin,
      stdout: true,
      stderr: false,
    });
  };

  /** One connection, joined with the exec's own; frames and all. */
  const relay = async (direction: "in" | "out"): Promise<string> => {
    const execId = await engine.createExec(pod, {
      Cmd: direction === "in" ? consumer : producer,
      Tty: false,
      AttachStdin: direction === "in",
      AttachStdout: true,
      AttachStderr: false,
    });
    const listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      listener.close();
      engine.startExec(execId, false).then(
        (stream) => {
          stream.pipe(socket);
          if (direction === "in") socket.pipe(stream);
          else socket.resume();
        },
        (error: unknown) => socket.destroy(error as Error),
      );
    });
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  };

  const forwardUrl = (): string => server.portForwardUrl({ podSandboxId: pod, ports: [] });
  const inPod = (mode: string, address: string): [string, string[]] => [
    "nsenter",
    [`--net=${netns}`, "--", client, mode, address, String(size)],
  ];
  const here = (mode: string, target: string, port = 0): [string, string[]] => [
    client,
    [mode, target, String(size), String(port)],
  ];

  const cases: Record<string, () => Promise<[string, string[]]>> = {
    "exec out, relay": async () => here("tcp-out", await relay("out")),
    "exec out, SPDY": () => Promise.resolve(here("spdy-out", execUrl("out"))),
    "exec out, WebSocket": () => Promise.resolve(here("websocket-out", execUrl("out"))),
    "exec in, relay": async () => here("tcp-in", await relay("in")),
    "exec in, SPDY": () => Promise.resolve(here("spdy-in", execUrl("in"))),
    "exec in, WebSocket": () => Promise.resolve(here("websocket-in", execUrl("in"))),
    "port-forward out, direct TCP": () => Promise.resolve(inPod("tcp-out", "127.0.0.1:8083")),
    "port-forward out, SPDY": () => Promise.resolve(here("forward-out", forwardUrl(), 8083)),
    "port-forward in, direct TCP": () => Promise.resolve(inPod("tcp-in", "127.0.0.1:8082")),
    "port-forward in, SPDY": () => Promise.resolve(here("forward-in", forwardUrl(), 8082)),
    [directFirstByte]: () => Promise.resolve(inPod("tcp-first", "127.0.0.1:8084")),
    "port-forward 500 connections": () => Promise.resolve(here("forward-many", forwardUrl(), 8084)),
    [forwardedFirstByte]: () => Promise.resolve(here("forward-first", forwardUrl(), 8084)),
  };

  const measure = async (prepare: () => Promise<[string, string[]]>): Promise<Measurement> => {
    const [program, args] = await prepare();
    const before = process.cpuUsage();
    const text = await run(program, args);
    const used = process.cpuUsage(before);
    return { ...(JSON.parse(text) as Measurement), cpuMs: (used.user + used.system) / 1000 };
  };

  const wanted = process.env["DOCKLINE_BENCH_ONLY"] ?? "";
  const chosen = Object.entries(cases).filter(([name]) => name.includes(wanted));
  // First: a fork takes the longer the more memory this process has, and afterwards it is no server's size.
  const helperStart = "idle".includes(wanted) ? await benchHelperStart(netns ?? "", 8084) : "";
  const results = new Map<string, Measurement[]>(chosen.map(([name]) => [name, []]));
  // Interleaved, so that a slow minute of the machine meets all of them.
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, prepare] of chosen) {
      const measured = await measure(prepare);
      // The first round warms caches and the optimizer.
      if (round > 0) results.get(name)?.push(measured);
    }
  }
  const lines: string[] = [];
  for (const [name, measured] of results) {
    if (measured[0]?.p50Ms !== undefined) {
      const p50 = median(measured.map(({ p50Ms }) => p50Ms ?? Number.NaN));
      const p99 = median(measured.map(({ p99Ms }) => p99Ms ?? Number.NaN));
      const direct = results.get(directFirstByte);
      const goal =
        name === forwardedFirstByte && direct !== undefined
          ? `, ${verdict(p50, firstByteGoalMs(median(direct.map(({ p50Ms }) => p50Ms ?? NaN))), "ms, 1.5 x direct + 1 ms")}`
          : "";
      lines.push(`${name.padEnd(30)} p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms${goal}`);
      continue;
    }
    const speed = median(measured.map(speedOf));
    const cpu = median(measured.map(({ bytes, cpuMs }) => cpuMs / (bytes / megabyte)));
    const clientCpu = median(
      measured.map(({ bytes, clientCpuMs }) => clientCpuMs / (bytes / megabyte)),
    );
    const yardstick = results.get(
      `${name.slice(0, name.indexOf(","))}, ${name.startsWith("exec") ? "relay" : "direct TCP"}`,
    );
    const ratio =
      yardstick === undefined || yardstick === measured
        ? ""
        : `, ${median(measured.map((each, at) => speedOf(each) / speedOf(yardstick[at]!))).toFixed(2)} of it`;
    lines.push(
      `${name.padEnd(30)} ${speed.toFixed(0).padStart(5)} MB/s  ${cpu.toFixed(2)} CPU-ms/MB, client ${clientCpu.toFixed(2)}${ratio}`,
    );
  }

  if ("idle".includes(wanted)) {
    lines.push(helperStart);
    const hold = (mode: string, url: () => string) => (count: number, ms: number) =>
      run(client, [mode, Array.from({ length: count }, url).join(","), String(ms)]);
    lines.push(await benchIdle("idle port-forward", hold("forward-idle", forwardUrl)));
    const idleUrl = (): string =>
      server.execUrl({
        ...{ containerId: pod, cmd: ["cat"], tty: false },
        ...{ stdin: true, stdout: true, stderr: false },
      });
    lines.push(await benchIdle("idle exec", hold("spdy-idle", idleUrl)));
  }

  await server.close(0);
  await run("docker", ["rm", "-fv", pod]);
  engine.close();
  rmSync(folder, { recursive: true, force: true });
  return lines;
}
