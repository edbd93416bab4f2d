import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, rmSync, statSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { removeImagesOf } from "../support/images.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  removePod,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
} from "../support/pods.ts";
import { registryImage } from "../support/registry-image.ts";
import { startScriptedRegistry } from "../support/scripted-registry.ts";
import { attributeOf, startSpanCollector } from "../support/span-collector.ts";
import type { SpanCollector } from "../support/span-collector.ts";
import { until } from "../support/until.ts";

const program = join(import.meta.dirname, "..", "..", "bin", "dockline");
const secret = "hunter2-in-the-pod";

describe("what a pod's calls become", () => {
  let node: TestNode;
  let folder: string;
  let collector: SpanCollector;
  let start: NodeState;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "dockline-trace-"));
    collector = await startSpanCollector();
    node = await startNode({
      args: [
        `--otel-endpoint=${collector.url}`,
        "--otel-sampling-per-million=0",
        `--metrics-bind-addr=unix://${folder}/metrics.sock`,
      ],
    });
    // The pause image and whatever else the first pod brings.
    await removePod(node, await runPod(node));
  });
  after(async () => {
    await node.close();
    await collector.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    start = nodeState(node);
    node.proxy.reset();
  });
  afterEach(async () => {
    await expectNothingLeft(node, start);
  });

  /** `dockline trace` on this node's socket. */
  function trace(...args: string[]) {
    const socket = args.some((arg) => arg.startsWith("--replay"))
      ? []
      : [`--socket=${node.folder}/run/trace.sock`];
    const child = spawn(program, ["trace", ...socket, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    const ended = once(child, "close").then(() => out);
    return {
      out: () => out,
      ended: () => ended,
      interrupt: () => {
        child.kill("SIGINT");
        return ended;
      },
    };
  }
  const metrics = (): Promise<string> =>
    new Promise((resolve, reject) => {
      request({ socketPath: join(folder, "metrics.sock"), path: "/metrics" }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve(text));
      })
        .on("error", reject)
        .end();
    });
  const figure = async (name: string): Promise<number> =>
    Number(new RegExp(`^dockline_${name} (.*)$`, "m").exec(await metrics())?.[1]);

  it("is a waterfall: RunPodSandbox's three Docker requests and its plugins; a replay is the same", async () => {
    const recording = join(folder, "recording");
    expect(statSync(`${node.folder}/run/trace.sock`).mode & 0o777).to.equal(0o600);
    const config = sandboxConfig(node, {
      metadata: { name: "web", namespace: "test", uid: "u1", attempt: 0 },
      annotations: { note: secret },
    });
    const live = trace("--pod=test/web", `--record=${recording}`);
    await until(async () => (await figure("trace_listeners")) === 1);
    const other = await runPod(node);
    const pod = await runPod(node, config);
    const id = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", { envs: [{ key: "PASSWORD", value: Buffer.from(secret) }] }),
    );
    expect(await shell(node, id, "echo $PASSWORD")).to.equal(secret);
    await node.runtime.stopContainer({ containerId: id, timeout: 0n });
    await removePod(node, pod);
    await removePod(node, other);
    await until(() => live.out().includes("RemovePodSandbox"));
    const out = await live.interrupt();
    const lines = out.trimEnd().split("\n");

    for (const line of lines) expect(line.length).to.be.at.most(80);
    const head = lines.findIndex((line) => line.includes("RunPodSandbox test/web"));
    const rest = lines.slice(head + 1);
    const steps = rest.slice(
      0,
      rest.findIndex((line) => !line.startsWith("  ")),
    );
    const named = (kind: string): string[] =>
      steps
        .filter((line) => line.startsWith(`  ${kind} `))
        .map((line) => line.slice(10, 42).trim());
    expect(named("docker")).to.deep.equal([
      "POST /containers/create",
      "POST /containers/{id}/start",
      "GET /containers/{id}/json",
    ]);
    expect(named("cni")).to.have.length.within(1, 3);
    for (const name of named("cni")) expect(name).to.match(/^[a-z-]+ ADD$/);
    expect(named("own")).to.deep.equal(["Dockline itself"]);
    const heads = lines.filter((line) => !/^(?:  |--)/.test(line));
    for (const line of heads) expect(line).to.include("test/web");
    expect(heads.map((line) => line.split(" ")[1])).to.include.members([
      "RunPodSandbox",
      "CreateContainer",
      "StartContainer",
      "ExecSync",
      "StopContainer",
      "StopPodSandbox",
      "RemovePodSandbox",
    ]);
    expect(lines.filter((line) => line.includes("ExecSync"))[0]).to.include("[main]");
    expect(out + readFileSync(recording, "utf8")).not.to.include(secret);
    expect(await trace("--replay", recording).ended()).to.equal(out);
  });

  it("is spans of the kubelet's own trace, down to the requests that Docker gets", async () => {
    const traceId = "a1".repeat(16);
    const parent = "b2".repeat(8);
    const config = sandboxConfig(node);
    const { podSandboxId } = await node.runtime.runPodSandbox(
      { config },
      { metadata: { traceparent: `00-${traceId}-${parent}-01` } },
    );
    await removePod(node, { podSandboxId });
    await until(() => collector.spans().length >= 4);
    const spans = collector.spans();
    const own = spans.find(({ name }) => name === "runtime.v1.RuntimeService/RunPodSandbox");
    expect(own).to.deep.include({ traceId, parentSpanId: parent });
    expect(attributeOf(own, "dockline.pod_sandbox_id")).to.equal(podSandboxId);
    const children = spans.filter((span) => span !== own);
    for (const { traceId: id, parentSpanId } of children) {
      expect([id, parentSpanId]).to.deep.equal([traceId, own?.spanId]);
    }
    const docker = children.filter(({ kind }) => kind === 3);
    expect(docker.map(({ name }) => name)).to.deep.equal([
      "POST /containers/create",
      "POST /containers/{id}/start",
      "GET /containers/{id}/json",
    ]);
    expect(children.filter(({ name }) => /^cni .* ADD$/.test(name))).to.have.length.within(1, 3);
    const sent = node.proxy.requests.flatMap(({ method, route, headers }) =>
      headers["traceparent"] === undefined ? [] : [[`${method} ${route}`, headers["traceparent"]]],
    );
    // Of all that the node asked Docker, these three alone were for a traced call.
    expect(sent).to.deep.equal(
      docker.map(({ name, spanId }) => [name, `00-${traceId}-${spanId}-01`]),
    );
    expect(await figure("otel_spans_dropped_total")).to.equal(0);
    expect(await figure("otel_spans_exported_total")).to.equal(spans.length);
  });

  it("shows how far a pull is: in the trace, the metrics and the verbose status", async () => {
    const image = await registryImage({ files: [{ path: "x", content: randomBytes(3_000_000) }] });
    let release = (): void => undefined;
    const registry = await startScriptedRegistry(image, (part, _request, response) => {
      if (part !== "layer") return false;
      response.setHeader("Content-Length", image.layer.length);
      response.write(image.layer.subarray(0, 2_500_000));
      release = () => void response.end(image.layer.subarray(2_500_000));
      return true;
    });
    const live = trace("--rpc=PullImage");
    try {
      const pulling = node.images.pullImage({ image: { image: `${registry.host}/slow/image:1` } });
      // Docker reports ten times a second at most, and nothing when no byte comes any more; its
      // containerd store counts by the MiB.
      await until(async () => (await figure("pulls_downloaded_bytes")) > 0);
      expect(await figure("pulls_in_progress")).to.equal(1);
      expect([await figure("pulls_layers"), await figure("pulls_layers_done")]).to.deep.equal([
        1, 0,
      ]);
      expect(await figure("pulls_total_bytes")).to.equal(image.layer.length);
      expect(await figure("pulls_oldest_seconds")).to.be.greaterThan(0);
      const { info } = await node.runtime.status({ verbose: true });
      const { running = [] } = JSON.parse(info["pulls"] ?? "{}") as {
        running?: Record<string, unknown>[];
      };
      const [pull] = running;
      expect(pull).to.deep.include({
        image: `${registry.host}/slow/image:1`,
        phase: "downloading",
        layersDone: 0,
        layersTotal: 1,
        totalBytes: image.layer.length,
        callers: 1,
      });
      expect(pull?.["ageMs"]).to.be.a("number");
      await until(() => /pull .*slow\/image:1\s+downloading 0\/1 layers \d/.test(live.out()));
      await until(() =>
        /PullImage .* so far\n {2}docker {2}POST \/images\/create/.test(live.out()),
      );
      release();
      await pulling;
      await until(() =>
        /PullImage .* OK\n {2}docker {2}POST \/images\/create +200/.test(live.out()),
      );
      expect(await figure("pulls_in_progress")).to.equal(0);
    } finally {
      await live.interrupt();
      await removeImagesOf(node, registry.host);
      await registry.close();
    }
  });
});
