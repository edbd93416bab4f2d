import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, serviceClient } from "../../src/cri/client.ts";
import type { Connection, ServiceClient } from "../../src/cri/client.ts";
import { createDockerEngine } from "../../src/engine/docker-engine.ts";
import type { DockerEngine } from "../../src/engine/docker-engine.ts";
import { ImageService, RuntimeService } from "../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../src/log.ts";
import { startDockerProxy } from "./docker-proxy.ts";
import type { DockerProxy } from "./docker-proxy.ts";
import { engineSocket } from "./engine-get.ts";
import { ownLaneRuntime } from "./lane-runtime.ts";
import { bridgeConflist, removeBridge } from "./node-network.ts";
import { ensureTestImages } from "./test-images.ts";

/** Proxies of the nodes that are open. */
const proxies = new Set<DockerProxy>();

// A test that fails half-way leaves its faults, and its next try would not get its own. (Benchmarks have no mocha.)
if (typeof afterEach === "function") {
  afterEach(function () {
    if (this.currentTest?.state === "passed") return;
    for (const proxy of proxies) proxy.faults.clear();
  });
}

const root = join(import.meta.dirname, "..", "..");

export { engineSocket };

export interface NodeOptions {
  /** More flags for `dockline serve`. */
  args?: string[];
  /** No CNI configuration in the folder: host network only. */
  withoutNetwork?: boolean;
  /** Do not wait until the index is synchronized with the engine (an engine that is away). */
  dontWait?: boolean;
  /** Another engine than the suite's. */
  upstream?: string;
  environment?: Record<string, string>;
  /** Another `dockline` than this checkout's. */
  program?: string;
}

/** One running Dockline on the suite's engine, with everything of its own in a temporary folder. */
export interface TestNode {
  readonly folder: string;
  readonly endpoint: string;
  /** Path of the engine's own socket, behind the proxy. */
  readonly upstream: string;
  readonly stateDir: string;
  readonly cniConfDir: string;
  /** host-local's address files of this node's network. */
  readonly addressDir: string;
  /** For `log_directory` of pods. */
  readonly logDir: string;
  readonly bridge: string;
  readonly runtime: ServiceClient<typeof RuntimeService>;
  readonly images: ServiceClient<typeof ImageService>;
  /** Straight to the engine, not through the counting proxy. */
  readonly docker: DockerEngine;
  /** Between Dockline and the engine: counts requests, injects faults. */
  readonly proxy: DockerProxy;
  readonly pid: number;
  /** Lines that Dockline logged so far. */
  log(): string;
  /** SIGKILL, and wait until it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with the exit code. */
  terminate(): Promise<number | null>;
  /** Starts it again after kill or terminate, on the same folders. */
  start(environment?: Record<string, string>): Promise<void>;
  /** Resolves when it has ended by itself (a failpoint). */
  ended(): Promise<void>;
  /** Ends everything and removes the folder. */
  close(): Promise<void>;
}

/** Where a node listens for NRI plugins. */
export const nriSocket = (folder: string): string => join(folder, "nri", "nri.sock");

export async function startNode(options: NodeOptions = {}): Promise<TestNode> {
  const folder = await mkdtemp(join(tmpdir(), "dockline-test-"));
  const tag = randomBytes(3).toString("hex");
  const bridge = `dlt${tag}`;
  const paths = {
    stateDir: join(folder, "state"),
    cniConfDir: join(folder, "cni"),
    addressDir: join(folder, "addresses", bridge),
    logDir: join(folder, "pods"),
  };
  mkdirSync(paths.cniConfDir);
  mkdirSync(paths.logDir);
  const endpoint = `unix://${folder}/dockline.sock`;
  if (options.withoutNetwork !== true) {
    bridgeConflist(paths.cniConfDir, { bridge, dataDir: join(folder, "addresses") });
  }
  const upstream = options.upstream ?? engineSocket;
  const docker = createDockerEngine({ endpoint: `unix://${upstream}`, log: silentLogger });
  if (options.dontWait !== true) {
    await removeLeftOvers(docker);
    await ensureTestImages(docker);
  }
  const proxy = await startDockerProxy({
    upstream,
    listen: join(folder, "docker.sock"),
    editInfo: (info) => ownLaneRuntime(info, join(folder, "run")),
  });
  proxies.add(proxy);
  const logFile = join(folder, "log");
  let child: ChildProcess | undefined;
  let connection: Connection = connect(endpoint);
  const clients = {
    runtime: serviceClient(connection, RuntimeService),
    images: serviceClient(connection, ImageService),
  };

  const start = async (environment = options.environment): Promise<void> => {
    // What the package's unit takes away can be taken away here as well.
    const under = (process.env["DOCKLINE_TEST_UNDER"] ?? "")
      .split(" ")
      .filter((word) => word !== "");
    const program = options.program ?? join(root, "bin", "dockline");
    const command = [...under, program, "serve"];
    child = spawn(
      command[0] ?? "",
      [
        ...command.slice(1),
        `--container-runtime-endpoint=${endpoint}`,
        `--docker-endpoint=unix://${folder}/docker.sock`,
        `--state-dir=${paths.stateDir}`,
        `--run-dir=${join(folder, "run")}`,
        `--cni-conf-dir=${paths.cniConfDir}`,
        `--cni-cache-dir=${join(folder, "cni-cache")}`,
        "--log-level=debug",
        ...(options.args ?? []),
      ],
      {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, DOCKLINE_NRI_LISTEN: nriSocket(folder), ...environment },
      },
    );
    const log = createWriteStream(logFile, { flags: "a" });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    child.once("close", () => log.end());
    connection.close();
    connection = connect(endpoint);
    Object.assign(clients, {
      runtime: serviceClient(connection, RuntimeService),
      images: serviceClient(connection, ImageService),
    });
    await untilUp(child, clients.runtime, options.dontWait === true);
  };
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    const current = child;
    child = undefined;
    if (current === undefined || current.exitCode !== null || current.signalCode !== null) {
      return current?.exitCode ?? null;
    }
    const closed = once(current, "close") as Promise<[number | null]>;
    current.kill(signal);
    return (await closed)[0];
  };

  const node: TestNode = {
    folder,
    endpoint,
    upstream,
    ...paths,
    bridge,
    get runtime() {
      return clients.runtime;
    },
    get images() {
      return clients.images;
    },
    docker,
    proxy,
    get pid() {
      return child?.pid ?? 0;
    },
    log: () => (existsSync(logFile) ? readFileSync(logFile, "utf8") : ""),
    kill: async () => {
      await end("SIGKILL");
    },
    terminate: () => end("SIGTERM"),
    start,
    ended: async () => {
      const current = child;
      child = undefined;
      if (current === undefined || current.exitCode !== null || current.signalCode !== null) return;
      await once(current, "close");
    },
    close: async () => {
      await end("SIGTERM");
      connection.close();
      proxies.delete(proxy);
      await proxy.close();
      docker.close();
      removeBridge(bridge);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await start();
  } catch (error) {
    const text = node.log().split("\n").slice(-15).join("\n");
    await node.close();
    throw new Error(`dockline did not come up: ${String(error)}\n${text}`, { cause: error });
  }
  return node;
}

/** Pods of the tests' own namespace that an aborted run left behind. */
async function removeLeftOvers(docker: DockerEngine): Promise<void> {
  for (const { Id, Names } of await docker.listContainers(["io.kubernetes.docker.type"])) {
    if (Names.some((name) => /^\/k8s_[^_]+_[^_]+_test_/.test(name)))
      await docker.removeContainer(Id);
  }
}

/** Up: answers, and (unless told otherwise) both synchronized with the engine and ready. */
async function untilUp(
  child: ChildProcess,
  runtime: ServiceClient<typeof RuntimeService>,
  answersIsEnough: boolean,
): Promise<void> {
  let last: unknown;
  for (let waitedMs = 0; waitedMs < 30_000; waitedMs += 50) {
    const ended = child.exitCode ?? child.signalCode;
    if (ended !== null) throw new Error(`ended with ${ended}`);
    try {
      const { status } = await runtime.status({}, { timeoutMs: 3000 });
      if (answersIsEnough) return;
      const ready = status?.conditions.find((condition) => condition.type === "RuntimeReady");
      await runtime.runtimeConfig({}, { timeoutMs: 3000 });
      await runtime.listContainers({}, { timeoutMs: 3000 });
      if (ready?.status === true) return;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not ready after 30 s: ${String(last)}`);
}
