import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { expect } from "chai";
import { Client, credentials, status as GrpcCode } from "@grpc/grpc-js";
import { ImageService, RuntimeService } from "../../src/gen/runtime/v1/api_pb.js";
import { failure } from "../support/images.ts";
import { engineSocket, startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
  untilExited,
  type RunningPod,
} from "../support/pods.ts";
import { until } from "../support/until.ts";

const MiB = 1 << 20;

describe("calls to the CRI server", () => {
  let node: TestNode;
  let raw: Client;
  before(async () => {
    node = await startNode({ withoutNetwork: true });
    raw = new Client(node.endpoint, credentials.createInsecure(), {
      "grpc.max_send_message_length": -1,
      "grpc.default_authority": "localhost",
    });
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
  });
  after(async () => {
    raw.close();
    await node.close();
  });
  leavesNothing(() => node);

  /** Runs a container that takes SIGTERM in its own way, and waits until it does. */
  const startTrapping = async (pod: RunningPod, onTerm: string): Promise<string> => {
    const script = `trap "${onTerm}" TERM; : >/ready; while :; do sleep 0.1; done`;
    const containerId = await startContainer(node, pod, containerConfig(script));
    const test = { containerId, cmd: ["test", "-f", "/ready"] };
    await until(async () => (await node.runtime.execSync(test)).exitCode === 0);
    return containerId;
  };

  const bytes = (path: string, body: Buffer): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      raw.makeUnaryRequest(
        path,
        (value: Buffer) => value,
        (value: Buffer) => value,
        body,
        { deadline: Date.now() + 10_000 } as object,
        (error: Error | null, value?: Buffer) => {
          if (error === null) resolve(value ?? Buffer.alloc(0));
          else reject(error);
        },
      );
    });
  const methods = [RuntimeService, ImageService].flatMap((service) =>
    service.methods.map((method) => ({
      path: `/${service.typeName}/${method.name}`,
      unary: method.methodKind === "unary",
    })),
  );

  it("takes messages of 16 MiB and refuses larger ones", async () => {
    const filter = (length: number) => ({ filter: { id: "x".repeat(length) } });
    const { containers } = await node.runtime.listContainers(filter(16 * MiB - 64));
    expect(containers).to.deep.equal([]);
    const error = await failure(node.runtime.listContainers(filter(17 * MiB)));
    expect(error.code).to.equal(GrpcCode.RESOURCE_EXHAUSTED);
    expect((await node.runtime.version({})).runtimeName).to.equal("docker");
  });

  it("answers UNIMPLEMENTED for what there is not", async () => {
    for (const path of [
      "/runtime.v1.RuntimeService/Nothing",
      "/runtime.v1alpha2.RuntimeService/Version",
      "/other.Service/Call",
    ]) {
      expect((await failure(bytes(path, Buffer.alloc(0)))).code, path).to.equal(
        GrpcCode.UNIMPLEMENTED,
      );
    }
    expect((await failure(node.runtime.checkpointPod({}))).code).to.equal(GrpcCode.UNIMPLEMENTED);
  });

  it("answers every RPC that gets garbage for a message", async () => {
    for (const { path } of methods) {
      for (const body of [Buffer.from([0xff]), randomBytes(64), Buffer.from([0x0a, 0x7f, 1])]) {
        try {
          await bytes(path, body);
        } catch (error) {
          const { code, details } = error as { code: number; details: string };
          expect(code, `${path}: ${details}`).to.not.equal(GrpcCode.DEADLINE_EXCEEDED);
          expect(code, `${path}: ${details}`).to.not.equal(GrpcCode.UNAVAILABLE);
        }
      }
    }
    expect((await node.runtime.version({})).runtimeName).to.equal("docker");
    expect(node.log()).to.not.match(/unhandled rejection|uncaught exception/);
  });

  it("keeps 64-bit values exact", async () => {
    const big = 2n ** 53n + 1n;
    const pod = await runPod(node, hostSandboxConfig(node));
    const limited = await createContainer(
      node,
      pod,
      containerConfig("true", { linux: { resources: { memoryLimitInBytes: big } } }),
    );
    // The kernel counts memory in pages: the next whole one below 2^53 + 1 is 2^53.
    const args = [
      "-H",
      `unix://${engineSocket}`,
      "inspect",
      "-f",
      "{{.HostConfig.Memory}}",
      limited,
    ];
    const memory = execFileSync("docker", args, { encoding: "utf8" }).trim();
    const { status: ofLimited } = await node.runtime.containerStatus({ containerId: limited });
    expect(memory).to.equal(String(2n ** 53n));
    expect(ofLimited?.resources?.linux?.memoryLimitInBytes).to.equal(big);
    const id = await createContainer(
      node,
      pod,
      containerConfig("true", { metadata: { name: "n" } }),
    );
    const { status } = await node.runtime.containerStatus({ containerId: id });
    const { Created } = await node.docker.inspectContainer(id);
    // Nanoseconds of the engine's own text, all of them.
    const fraction = /\.(\d+)Z$/.exec(Created)?.[1]?.padEnd(9, "0") ?? "000000000";
    const seconds = BigInt(Date.parse(Created.replace(/\.\d+Z$/, "Z")) / 1000);
    expect(status?.createdAt).to.equal(seconds * 1_000_000_000n + BigInt(fraction));
    const listed = (await node.runtime.listContainers({ filter: { id } })).containers[0];
    expect(listed?.createdAt).to.equal(status?.createdAt);
    await removePod(node, pod);
  });

  it("serves a hundred calls at once on one connection", async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        n % 2 === 0 ? node.runtime.listContainers({}) : node.images.listImages({}),
      ),
    );
    expect(answers).to.have.length(100);
  });

  it("lets a running call end on SIGTERM, and exits with 0", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startTrapping(pod, "sleep 2; exit 7");
    node.proxy.reset();
    const stop = node.runtime.stopContainer({ containerId, timeout: 10n });
    await until(() => node.proxy.count(/^POST \/containers\/\{id\}\/stop$/) > 0);
    const begun = performance.now();
    const [code] = await Promise.all([node.terminate(), stop]);
    expect(code).to.equal(0);
    expect(performance.now() - begun).to.be.within(1000, 6000);
    await node.start();
    expect((await untilExited(node, containerId)).exitCode).to.equal(7);
    await removePod(node, pod);
  });

  it("cuts what takes longer than the drain time, exits with 0, and Docker goes on", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startTrapping(pod, "sleep 9; exit 8");
    node.proxy.reset();
    const exec = failure(
      node.runtime.execSync({ containerId, cmd: ["sleep", "100"], timeout: 100n }),
    );
    await until(() => node.proxy.count(/^POST \/exec\/\{id\}\/start$/) > 0);
    const stop = failure(node.runtime.stopContainer({ containerId, timeout: 20n }));
    await until(() => node.proxy.count(/^POST \/containers\/\{id\}\/stop$/) > 0);
    const begun = performance.now();
    expect(await node.terminate()).to.equal(0);
    expect(performance.now() - begun).to.be.within(4500, 8000);
    for (const error of await Promise.all([stop, exec])) {
      expect(error.code).to.be.oneOf([GrpcCode.UNAVAILABLE, GrpcCode.CANCELLED]);
    }
    expect(existsSync(node.endpoint.slice("unix://".length))).to.equal(false);
    await node.start();
    expect((await untilExited(node, containerId)).exitCode).to.equal(8);
    await removePod(node, pod);
  });

  it("takes no new call while it drains", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startTrapping(pod, "sleep 2; exit 0");
    const stop = node.runtime.stopContainer({ containerId, timeout: 10n });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const ended = node.terminate();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const error = await failure(node.runtime.version({}, { timeoutMs: 5000 }));
    expect(error.code).to.equal(GrpcCode.UNAVAILABLE);
    await stop;
    expect(await ended).to.equal(0);
    await node.start();
    await removePod(node, pod);
  });
});
