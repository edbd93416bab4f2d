/**
 * A streaming server over a real engine, for the Go tests beside it. It takes the place of the rpc
 * layer: JSON requests on a control port issue URLs and tell what the process holds.
 *
 * DOCKLINE_TEST_DOCKER_SOCKET names the engine. The first line on stdout is the control URL.
 */
import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { readdirSync } from "node:fs";
import { createDockerEngine } from "../../../src/engine/docker-engine.ts";
import { execEnder } from "../../../src/engine/end-exec.ts";
import { createLogger } from "../../../src/log.ts";
import { createStreamingServer } from "../../../src/streaming/server.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { killExecTree } from "../../../src/sys/process-tree.ts";
import { noExecNotes } from "../../support/exec-notes.ts";

const socket = process.env["DOCKLINE_TEST_DOCKER_SOCKET"] ?? "/var/run/docker.sock";
const level = process.env["DOCKLINE_TEST_LOG"] === "debug" ? "debug" : "warn";
const log = createLogger({ level, descriptor: 2 });
const engine = createDockerEngine({ endpoint: `unix://${socket}`, log });
const killed: number[] = [];

const certFile = process.env["DOCKLINE_TEST_TLS_CERT"];
const keyFile = process.env["DOCKLINE_TEST_TLS_KEY"];
const tls = certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile };

const streaming = createStreamingServer({
  engine,
  clock: systemClock,
  log,
  bindAddress: process.env["DOCKLINE_TEST_BIND"] ?? "127.0.0.1:0",
  tls,
  sandboxNetns: async (id) => {
    const found = await engine.inspectContainer(id);
    if (found.HostConfig.NetworkMode === "host") return { netns: undefined };
    return { netns: found.NetworkSettings.SandboxKey };
  },
  execNotes: noExecNotes,
  endExec: execEnder({
    engine,
    clock: systemClock,
    killExecTree: (pid, containerId) => {
      killed.push(pid);
      return killExecTree(pid, containerId);
    },
  }),
});
await streaming.start();

/** What must not grow from round to round. */
function held(): object {
  globalThis.gc?.();
  const resources: Record<string, number> = Object.create(null) as Record<string, number>;
  for (const name of process.getActiveResourcesInfo()) {
    resources[name] = (resources[name] ?? 0) + 1;
  }
  return {
    sessions: streaming.sessions(),
    rssBytes: process.memoryUsage.rss(),
    heapBytes: process.memoryUsage().heapUsed,
    cpuMs: process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000,
    descriptors: readdirSync("/proc/self/fd").length,
    children: children(),
    killed: killed.length,
    resources,
  };
}

function children(): number {
  return readdirSync("/proc/self/task").flatMap((task) => childrenOf(task)).length;
}

function childrenOf(task: string): string[] {
  const path = `/proc/self/task/${task}/children`;
  return readText(path)
    .split(" ")
    .filter((pid) => pid.trim() !== "");
}

function readText(path: string): string {
  try {
    return process.getBuiltinModule("node:fs").readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

async function bodyOf(req: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString("utf8");
  return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
}

async function answer(req: IncomingMessage): Promise<object> {
  const body = await bodyOf(req);
  switch (req.url) {
    case "/exec":
      return { url: streaming.execUrl(body as never) };
    case "/attach":
      return { url: streaming.attachUrl(body as never) };
    case "/portforward":
      return { url: streaming.portForwardUrl(body as never) };
    case "/held":
      return held();
    case "/close":
      await streaming.close(0);
      return {};
    default:
      throw new Error(`no such request: ${req.url ?? ""}`);
  }
}

// Go's client keeps its connections, and would meet the end of one that has been idle.
const control = createServer({ keepAliveTimeout: 0 }, (req, res) => {
  answer(req).then(
    (value) => res.end(JSON.stringify(value)),
    (error: unknown) => {
      res.statusCode = 500;
      res.end(error instanceof Error ? error.message : String(error));
    },
  );
});
control.listen(0, "127.0.0.1", () => {
  const { port } = control.address() as AddressInfo;
  process.stdout.write(`http://127.0.0.1:${port}\n`);
});
// The tests hold the other end of stdin: they cannot leave this process behind.
process.stdin.resume().on("end", () => process.exit(0));
