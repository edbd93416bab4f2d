import { rmSync } from "node:fs";
import { create, toBinary } from "@bufbuild/protobuf";
import type { DescMethod } from "@bufbuild/protobuf";
import { expect } from "chai";
import { Client, credentials, status as GrpcCode } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { ImageService, RuntimeService } from "../../src/gen/runtime/v1/api_pb.js";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removeAllPods,
  removePod,
  runPod,
  startContainer,
} from "../support/pods.ts";
import { randomMessage, seeded } from "../support/random-messages.ts";

const calls = Number(process.env["DOCKLINE_FUZZ_CALLS"] ?? "500");
const seed = Number(process.env["DOCKLINE_FUZZ_SEED"] ?? String(Date.now() % 1_000_000));

const methods = [RuntimeService, ImageService].flatMap((service) =>
  service.methods.map((method) => ({ path: `/${service.typeName}/${method.name}`, method })),
);

/** The valid message with one or two of the odd one's fields, at any depth. */
function mixed(
  valid: object,
  odd: unknown,
  random: () => number,
  left = { fields: 1 + Math.floor(random() * 2) },
): Record<string, unknown> {
  const result: Record<string, unknown> = { ...valid };
  const entries = Object.entries(odd ?? {}).sort(() => random() - 0.5);
  for (const [name, value] of entries) {
    if (left.fields <= 0) break;
    if (name === "metadata" || (name === "image" && random() < 0.8)) continue;
    const isMessage = typeof value === "object" && value !== null && !Array.isArray(value);
    if (isMessage && random() < 0.7) {
      result[name] = mixed(result[name] ?? {}, value, random, left);
    } else {
      result[name] = value;
      left.fields -= 1;
    }
  }
  return result;
}

describe("random valid messages", () => {
  let node: TestNode;
  let raw: Client;
  let start: NodeState;
  before(async () => {
    node = await startNode({ withoutNetwork: true });
    raw = new Client(node.endpoint, credentials.createInsecure(), {
      "grpc.default_authority": "localhost",
    });
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
    start = nodeState(node);
  });
  after(async () => {
    raw.close();
    await node.close();
    rmSync("/tmp/dockline-fuzz", { recursive: true, force: true });
  });

  /** The code of the answer; of a stream that of its end, or OK when it goes on. */
  const send = (path: string, method: DescMethod, message: object): Promise<ServiceError | null> =>
    new Promise((resolve) => {
      const options = { deadline: Date.now() + 20_000 };
      const bytes = Buffer.from(toBinary(method.input, create(method.input, message as never)));
      const plain = (value: Buffer): Buffer => value;
      if (method.methodKind === "unary") {
        raw.makeUnaryRequest(path, plain, plain, bytes, options, (error) => resolve(error));
        return;
      }
      const stream = raw.makeServerStreamRequest(path, plain, plain, bytes, options);
      const leave = setTimeout(() => stream.cancel(), 200);
      stream.resume();
      stream.on("end", () => resolve(null));
      stream.on("error", (error: ServiceError) => {
        clearTimeout(leave);
        resolve(error.code === GrpcCode.CANCELLED ? null : error);
      });
    });

  it(`to every RPC: ${calls} calls with seed ${seed}`, async function () {
    this.timeout(180_000);
    const random = seeded(seed);
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    const ids = [
      pod.podSandboxId,
      containerId,
      containerId.slice(0, 12),
      "dockline.test/busybox:1",
    ];
    const pid = node.pid;
    /** Every second time a valid request with one or two odd fields: those get further in. */
    const nearlyValid = (rpc: string, odd: Record<string, unknown>): Record<string, unknown> => {
      if (random() < 0.5) return odd;
      if (rpc === "RunPodSandbox") {
        return { config: mixed(hostSandboxConfig(node), odd["config"], random) };
      }
      if (rpc === "CreateContainer") {
        const metadata = { name: `c${Math.floor(random() * 1e9)}` };
        const config = mixed(containerConfig("true", { metadata }), odd["config"], random);
        return { podSandboxId: pod.podSandboxId, config, sandboxConfig: pod.sandbox };
      }
      return odd;
    };
    const seen = new Map<string, number>();
    for (let begun = 0; begun < calls; begun += 10) {
      const batch = Array.from({ length: 10 }, (_, n) => {
        const { path, method } = methods[(begun + n) % methods.length] as (typeof methods)[number];
        const odd = randomMessage(method.input, random, ids);
        const message = harmless(method.name, nearlyValid(method.name, odd));
        return { path, method, message };
      });
      const results = await Promise.all(
        batch.map(({ path, method, message }) => send(path, method, message)),
      );
      results.forEach((error, n) => {
        const code = GrpcCode[error?.code ?? 0] ?? "";
        seen.set(code, (seen.get(code) ?? 0) + 1);
        const text = JSON.stringify(batch[n]?.message, (_, value: unknown) =>
          typeof value === "bigint" ? String(value) : value,
        );
        const what = `${batch[n]?.path}: ${error?.details} ${text.slice(0, 1500)}`;
        // The node has no CNI configuration, and says so.
        if (error?.details.startsWith("network: no CNI configuration") === true) return;
        // Bad input has a code that says so; these would say that Dockline is at fault.
        expect(["INTERNAL", "UNAVAILABLE", "DATA_LOSS"], what).to.not.include(code);
      });
    }
    expect(seen.get("INVALID_ARGUMENT")).to.be.above(calls / 20);
    expect(seen.get("OK")).to.be.above(calls / 20);
    expect((await node.runtime.version({})).runtimeName).to.equal("docker");
    expect(node.pid).to.equal(pid);
    expect(node.log()).to.not.match(/unhandled rejection|uncaught exception/);
    await removeAllPods(node);
    await expectNothingLeft(node, start);
  });

  /** Leaves the suite's images and the machine's files alone. */
  function harmless(rpc: string, message: Record<string, unknown>): Record<string, unknown> {
    if (rpc === "RemoveImage") return { image: { image: "dockline.test/none:1" } };
    // No registry of the network is asked.
    if (rpc === "PullImage") return { ...message, image: { image: "127.0.0.1:1/x/y:1" } };
    if (rpc === "UpdateRuntimeConfig") return {};
    if (rpc === "CheckpointContainer") return { ...message, location: "" };
    return message;
  }
});
