import { expect } from "chai";
import type { CallContext } from "../../../src/cri/bind.ts";
import { createObserver } from "../../../src/cri/observe.ts";
import { createDockerEngine } from "../../../src/engine/docker-engine.ts";
import type { DockerEngine } from "../../../src/engine/docker-engine.ts";
import { CriError } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/log.ts";
import type { Logger } from "../../../src/log.ts";
import { beginStep } from "../../../src/sys/call-trace.ts";
import { TraceHub } from "../../../src/trace/hub.ts";
import { createSpanExport } from "../../../src/trace/otel.ts";
import type { SpanExport } from "../../../src/trace/otel.ts";
import { startDockerProxy } from "../../support/docker-proxy.ts";
import type { DockerProxy } from "../../support/docker-proxy.ts";
import { startFakeEngine } from "../../support/fake-engine.ts";
import type { FakeEngineServer } from "../../support/fake-engine.ts";
import { attributeOf, startSpanCollector } from "../../support/span-collector.ts";
import type { SpanCollector, WireSpan } from "../../support/span-collector.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

const traceId = "a".repeat(32);
const parentSpanId = "b".repeat(16);

describe("the export of spans", () => {
  let folder: ReturnType<typeof tempFolder>;
  let collector: SpanCollector;
  let fake: FakeEngineServer;
  let proxy: DockerProxy;
  let engine: DockerEngine;
  let exports: SpanExport[];

  beforeEach(async () => {
    folder = tempFolder();
    exports = [];
    collector = await startSpanCollector();
    fake = await startFakeEngine({ listen: folder.path("e") });
    fake.docker.images.add({ references: ["busybox:1"] });
    proxy = await startDockerProxy({ upstream: folder.path("e"), listen: folder.path("p") });
    engine = createDockerEngine({ endpoint: `unix://${folder.path("p")}`, log: silentLogger });
    await engine.ping();
  });
  afterEach(async () => {
    await Promise.all(exports.map((spans) => spans.close()));
    engine.close();
    await proxy.close();
    await fake.close();
    await collector.close();
    folder.remove();
  });

  /** Runs one call through the observer as the daemon wires it. */
  function daemon(options: { endpoint?: string; samplingPerMillion?: number; log?: Logger } = {}) {
    const spans = createSpanExport({
      endpoint: collector.url,
      samplingPerMillion: 1e6,
      log: silentLogger,
      ...options,
    });
    exports.push(spans);
    const hub = new TraceHub();
    hub.add(spans.sink);
    const { observe } = createObserver({
      log: silentLogger,
      trace: {
        begin: (call) => {
          spans.begin(call);
          hub.begin(call);
        },
        end: (call) => hub.end(call),
      },
    });
    const call = (work: () => Promise<unknown>, metadata: Record<string, string> = {}) =>
      observe(
        {
          rpc: "RunPodSandbox",
          service: "runtime.v1.RuntimeService",
          request: { config: { metadata: { name: "web", namespace: "shop" } } },
          context: contextWith(metadata),
        },
        work,
      );
    return { spans, call };
  }
  const received = (): WireSpan[] => collector.spans();
  const createOne = async (): Promise<unknown> => {
    const created = await engine.createContainer("one", {
      Image: "busybox:1",
      Labels: {},
      HostConfig: {},
    });
    beginStep("cni", "bridge ADD").end(0);
    beginStep("cni", "portmap ADD").end();
    return created;
  };

  it("joins the caller's trace, and gives Docker the span of its own request", async () => {
    const { spans, call } = daemon();
    const beforeMs = Date.now();
    await call(createOne, { traceparent: `00-${traceId}-${parentSpanId}-01`, tracestate: "k=v" });
    await until(() => received().length === 4);
    const [own, create, bridge, portmap] = received();
    if (own === undefined || create === undefined) throw new Error("no spans");
    expect(collector.requests[0]?.path).to.equal("/v1/traces");
    expect(collector.requests[0]?.body).to.include(
      '"service.name","value":{"stringValue":"dockline"}',
    );
    expect(own).to.deep.include({
      traceId,
      parentSpanId,
      name: "runtime.v1.RuntimeService/RunPodSandbox",
      kind: 2,
    });
    expect(attributeOf(own, "k8s.pod.name")).to.equal("web");
    expect(attributeOf(own, "rpc.grpc.status_code")).to.equal(0);
    expect(create).to.deep.include({
      traceId,
      parentSpanId: own.spanId,
      name: "POST /containers/create",
      kind: 3,
    });
    expect(attributeOf(create, "http.response.status_code")).to.equal(201);
    expect([bridge?.name, bridge?.parentSpanId, bridge?.status.code ?? 0]).to.deep.equal([
      "cni bridge ADD",
      own.spanId,
      0,
    ]);
    // No exit code: it was killed.
    expect([portmap?.name, portmap?.status.code]).to.deep.equal(["cni portmap ADD", 2]);
    expect(new Set(received().map(({ spanId }) => spanId)).size).to.equal(4);
    for (const { startTimeUnixNano, endTimeUnixNano } of received()) {
      const [start, end] = [Number(startTimeUnixNano) / 1e6, Number(endTimeUnixNano) / 1e6];
      expect(start).to.be.within(beforeMs - 1, Date.now() + 1);
      expect(end).to.be.within(start, Date.now() + 1);
    }
    const sent = proxy.requests.find(({ method }) => method === "POST")?.headers;
    expect(sent?.["traceparent"]).to.equal(`00-${traceId}-${create.spanId}-01`);
    expect(sent?.["tracestate"]).to.equal("k=v");
    // Counted once the collector's answer has come.
    await until(() => spans.exported() === 4);
    expect(spans.dropped()).to.equal(0);
  });

  it("leaves out what its caller does not sample, and passes that on", async () => {
    const { call } = daemon();
    const traceparent = `00-${traceId}-${parentSpanId}-00`;
    await call(createOne, { traceparent });
    await call(() => Promise.resolve({}), { traceparent: "nonsense" });
    await until(() => received().length === 1);
    const [root] = received();
    expect(root?.traceId)
      .to.match(/^[0-9a-f]{32}$/)
      .and.not.to.equal(traceId);
    expect(root?.parentSpanId ?? "").to.equal("");
    expect(proxy.requests.find(({ method }) => method === "POST")?.headers["traceparent"]).to.equal(
      traceparent,
    );
  });

  it("samples calls without a context by its own rate", async () => {
    const { spans, call } = daemon({ samplingPerMillion: 0 });
    await call(createOne);
    await call(() => Promise.resolve({}), { traceparent: `00-${traceId}-${parentSpanId}-01` });
    await until(() => received().length === 1);
    expect(received()[0]?.traceId).to.equal(traceId);
    expect(proxy.requests.find(({ method }) => method === "POST")?.headers).not.to.have.property(
      "traceparent",
    );
    await until(() => spans.exported() === 1);
  });

  it("exports a step that outlives its call when it ends, and calls that failed as failed", async () => {
    const { call } = daemon();
    let end = (): void => undefined;
    const failed = await call(() => {
      const step = beginStep("docker", "POST /containers/{id}/stop");
      end = () => step.end(204);
      return Promise.reject(new CriError("Internal", "no"));
    }).catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(CriError);
    await until(() => received().length === 1);
    expect(received()[0]?.status.code).to.equal(2);
    end();
    await until(() => received().length === 2);
    expect(received()[1]).to.deep.include({
      name: "POST /containers/{id}/stop",
      parentSpanId: received()[0]?.spanId,
    });
  });

  it("delays no call while the collector is away; its queue is bounded and what is lost counted", async () => {
    const warnings: string[] = [];
    const log: Logger = { ...silentLogger, warn: (_, message) => void warnings.push(message) };
    const { spans, call } = daemon({ endpoint: "http://127.0.0.1:9", log });
    const begin = performance.now();
    for (let n = 0; n < 300; n += 1) {
      await call(() => {
        for (let step = 0; step < 9; step += 1) beginStep("docker", "GET /x").end(200);
        return Promise.resolve({});
      });
    }
    expect(performance.now() - begin).to.be.lessThan(2000);
    await until(() => spans.dropped() > 0);
    expect(spans.dropped()).to.be.at.least(3000 - 2048);
    const close = performance.now();
    await spans.close();
    expect(performance.now() - close).to.be.lessThan(3000);
    expect(spans.exported()).to.equal(0);
  });

  it("says once that the collector refuses, and once that it is back", async () => {
    const said: string[] = [];
    const note = (_: object, message: string): void => void said.push(message);
    const { spans, call } = daemon({ log: { ...silentLogger, warn: note, info: note } });
    collector.status = 400;
    await call(() => Promise.resolve({}));
    await until(() => spans.dropped() === 1);
    await call(() => Promise.resolve({}));
    await until(() => spans.dropped() === 2);
    collector.status = 200;
    await call(() => Promise.resolve({}));
    await until(() => spans.exported() === 1);
    expect(said).to.deep.equal(["spans cannot be exported", "spans are exported again"]);
  });

  it("refuses an endpoint that is none, or that has credentials in it", () => {
    const make = (endpoint: string) => () =>
      createSpanExport({ endpoint, samplingPerMillion: 0, log: silentLogger });
    for (const endpoint of ["127.0.0.1:4318", "unix:///x", "grpc://x:1", "http://"]) {
      expect(make(endpoint), endpoint).to.throw(CriError, "want http://host:4318");
    }
    for (const endpoint of ["http://u:hunter2@x:4318", "http://x:4318/?token=hunter2"]) {
      expect(make(endpoint)).to.throw(CriError, /^(?!.*hunter2).*no credentials/);
    }
  });
});

function contextWith(metadata: Record<string, string>): CallContext {
  return {
    signal: new AbortController().signal,
    remainingMs: () => Infinity,
    log: silentLogger,
    metadata: (key) => metadata[key],
  };
}
