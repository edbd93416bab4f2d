import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { connect, serviceClient } from "../../src/cri/client.ts";
import type { ServiceClient } from "../../src/cri/client.ts";
import { ImageService, RuntimeService } from "../../src/gen/runtime/v1/api_pb.js";
import { pauseImageArchive } from "../../src/images/pause-image.ts";
import { pauseProgram } from "../../src/images/pause-program.ts";
import { bridgeConflist, removeBridge } from "../support/node-network.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { until } from "../support/until.ts";
import { makeSharedFolder, removeSharedFolder } from "./fixtures.ts";
import { noteOwner, runPrefix } from "./killed-runs.ts";

/** A runtime that is asked through its CRI socket. */
export interface Side {
  readonly name: "dockline" | "containerd";
  readonly runtime: ServiceClient<typeof RuntimeService>;
  readonly images: ServiceClient<typeof ImageService>;
  /** For sources and logs of its pods; what is mounted below it propagates. */
  readonly folder: string;
  close(): Promise<void>;
}

export interface DocklineSide extends Side {
  readonly node: TestNode;
}

async function sharedFolder(): Promise<string> {
  const folder = await mkdtemp(runPrefix);
  makeSharedFolder(folder);
  noteOwner(folder, {});
  return folder;
}

/** Dockline on the engine of the suite, with a network of its own. */
export async function docklineSide(archives: readonly Buffer[]): Promise<DocklineSide> {
  const folder = await sharedFolder();
  const node = await startNode();
  noteOwner(folder, { bridge: node.bridge, server: node.pid, folder: node.folder });
  for (const archive of archives) {
    await node.docker.loadImage(Readable.from([archive], { objectMode: false }));
  }
  return {
    name: "dockline",
    node,
    folder,
    get runtime() {
      return node.runtime;
    },
    get images() {
      return node.images;
    },
    close: async () => {
      await node.close();
      removeSharedFolder(folder);
    },
  };
}

/** The containerd of test/lanes/containerd. */
export async function containerdSide(archives: readonly Buffer[]): Promise<Side> {
  const endpoint = process.env["DOCKLINE_TEST_CONTAINERD_ENDPOINT"];
  const cniFolder = process.env["DOCKLINE_TEST_CONTAINERD_CNI"];
  const ctr = process.env["DOCKLINE_TEST_CTR"];
  if (endpoint === undefined || cniFolder === undefined || ctr === undefined) {
    throw new Error("no containerd to compare with: run npm run test:differential");
  }
  const folder = await sharedFolder();
  const bridge = `dldiff${process.pid % 100_000}`;
  noteOwner(folder, { bridge });
  bridgeConflist(cniFolder, { bridge, dataDir: join(folder, "addresses") });
  const load = (archive: Buffer): void => {
    const socket = endpoint.replace(/^unix:\/\//, "");
    const args = ["--address", socket, "--namespace", "k8s.io", "images", "import", "-"];
    execFileSync(ctr, args, { input: archive, stdio: ["pipe", "ignore", "pipe"] });
  };
  const pause = pauseImageArchive({
    binary: await pauseProgram(process.arch === "arm64" ? "arm64" : "amd64"),
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    reference: pauseReference(endpoint),
  });
  load(Buffer.concat((await pause.toArray()) as Buffer[]));
  for (const archive of archives) load(archive);
  const connection = connect(endpoint);
  const runtime = serviceClient(connection, RuntimeService);
  const images = serviceClient(connection, ImageService);
  await until(async () => {
    const { status } = await runtime.status({}, { timeoutMs: 3000 });
    const listed = await images.listImages({}, { timeoutMs: 3000 });
    const ready = ["RuntimeReady", "NetworkReady"].every(
      (type) => status?.conditions.find((condition) => condition.type === type)?.status === true,
    );
    return ready && listed.images.length > archives.length;
  });
  return {
    name: "containerd",
    runtime,
    images,
    folder,
    close: () => {
      connection.close();
      removeBridge(bridge);
      removeSharedFolder(folder);
      return Promise.resolve();
    },
  };
}

/** The sandbox image that the lane configured; the configuration lies beside the socket. */
function pauseReference(endpoint: string): string {
  const folder = join(endpoint.replace(/^unix:\/\//, ""), "..");
  const text = readFileSync(join(folder, "config.toml"), "utf8");
  const found = /^\s*sandbox = "([^"]+)"/m.exec(text)?.[1];
  if (found === undefined) throw new Error(`no sandbox image in ${readdirSync(folder).join(" ")}`);
  return found;
}

/** Removes all pods of a side: after a plan that failed half-way. */
export async function removePods(side: Side): Promise<void> {
  const { items } = await side.runtime.listPodSandbox({});
  for (const { id: podSandboxId } of items) {
    await side.runtime.stopPodSandbox({ podSandboxId });
    await side.runtime.removePodSandbox({ podSandboxId });
  }
}
