import { once } from "node:events";
import { existsSync, readFileSync, renameSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import type { Socket } from "node:net";
import { expect } from "chai";
import type { CallContext } from "../../../src/cri/bind.ts";
import { createObserver } from "../../../src/cri/observe.ts";
import { CriError } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/log.ts";
import { beginStep } from "../../../src/sys/call-trace.ts";
import type { TraceEvent } from "../../../src/trace/event.ts";
import { createTraceFile } from "../../../src/trace/file.ts";
import { TraceHub } from "../../../src/trace/hub.ts";
import { readEvents } from "../../../src/trace/lines.ts";
import { serveTrace } from "../../../src/trace/server.ts";
import type { PullProgressEvent, TraceServer } from "../../../src/trace/server.ts";
import { nameTarget } from "../../../src/daemon/log-names.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

const context: CallContext = {
  signal: new AbortController().signal,
  remainingMs: () => Infinity,
  log: silentLogger,
  metadata: () => undefined,
};
const containerId = "c".repeat(64);
const podId = "d".repeat(64);
const index = {
  peek: (id: string) =>
    id === containerId
      ? ({
          identity: {
            kind: "container",
            metadata: { name: "app", attempt: 0 },
            podSandboxMetadata: { name: "web-0", namespace: "shop", uid: "u", attempt: 0 },
            podSandboxId: podId,
          },
        } as never)
      : undefined,
};

describe("the trace socket", () => {
  let folder: ReturnType<typeof tempFolder>;
  let hub: TraceHub;
  let server: TraceServer;
  let pulls: PullProgressEvent[];
  let open: Socket[];
  let run: (rpc: string, request: object, work?: () => Promise<unknown>) => Promise<unknown>;

  beforeEach(async () => {
    folder = tempFolder();
    hub = new TraceHub((target) => nameTarget(index, target));
    pulls = [];
    open = [];
    server = await serveTrace({
      path: folder.path("t.sock"),
      hub,
      pulls: () => pulls,
      log: silentLogger,
    });
    const { observe } = createObserver({ log: silentLogger, trace: hub });
    run = (rpc, request, work = () => Promise.resolve({})) =>
      observe({ rpc, service: "runtime.v1.RuntimeService", request, context }, work);
  });
  afterEach(async () => {
    for (const socket of open) socket.destroy();
    await server.close();
    folder.remove();
  });

  const listen = async (): Promise<{ socket: Socket; events: TraceEvent[] }> => {
    const before = server.listeners();
    const socket = createConnection({ path: folder.path("t.sock") });
    open.push(socket);
    const events: TraceEvent[] = [];
    void (async () => {
      for await (const event of readEvents(socket)) events.push(event);
    })().catch(() => undefined);
    await until(() => server.listeners() === before + 1);
    return { socket, events };
  };

  it("is root's own, and tells of a call after its answer, with the names of its ids", async () => {
    expect(statSync(folder.path("t.sock")).mode & 0o777).to.equal(0o600);
    await run("Version", {});
    const { events } = await listen();
    await run("StopContainer", { containerId }, () => {
      beginStep("docker", "POST /containers/{id}/stop").end(204);
      return Promise.resolve({});
    });
    await run(
      "RunPodSandbox",
      { config: { metadata: { name: "a", namespace: "b", uid: "" } } },
      () => Promise.resolve({ podSandboxId: podId }),
    );
    const failed = await run("RemovePodSandbox", { podSandboxId: "e".repeat(64) }, () =>
      Promise.reject(new CriError("Unavailable", "password=hunter2")),
    ).catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(CriError);
    await until(() => events.length === 3);
    const [stop, start, remove] = events;
    expect(stop).to.deep.include({
      type: "call",
      id: 2,
      rpc: "StopContainer",
      pod: { namespace: "shop", name: "web-0", id: podId },
      container: { name: "app", id: containerId },
      code: "OK",
    });
    expect(stop).to.have.nested.property("steps[0].status", 204);
    expect(start).to.deep.include({ pod: { namespace: "b", name: "a", id: podId } });
    expect(remove).to.deep.include({ code: "UNAVAILABLE", pod: { id: "e".repeat(64) } });
    expect(JSON.stringify(events)).not.to.include("hunter2");
  });

  it("costs a call nothing while nobody listens: no event is made", async () => {
    let named = 0;
    const quiet = new TraceHub(() => (named += 1));
    const { observe } = createObserver({ log: silentLogger, trace: quiet });
    const call = { rpc: "Version", service: "", request: {}, context };
    await observe(call, () => Promise.resolve({}));
    expect([named, quiet.running.size]).to.deep.equal([0, 0]);
    const { socket } = await listen();
    socket.destroy();
    await until(() => server.listeners() === 0);
    const remove = quiet.add({ take: () => undefined });
    await observe(call, () => Promise.resolve({}));
    expect(named).to.be.greaterThan(0);
    remove();
  });

  it("names at the end what the index did not know at the begin", async () => {
    let known = false;
    const late = new TraceHub((target) => {
      if (known) target.podName ??= "web-0";
    });
    const told: TraceEvent[] = [];
    late.add({ take: ({ event }) => void told.push(event()) });
    const { observe } = createObserver({ log: silentLogger, trace: late });
    await observe(
      { rpc: "StopPodSandbox", service: "", request: { podSandboxId: podId }, context },
      () => {
        known = true;
        return Promise.resolve({});
      },
    );
    await until(() => told.length === 1);
    expect(told[0]).to.deep.include({ pod: { name: "web-0", id: podId } });
  });

  it("says nothing that a request, an answer or an error holds beyond names and ids", async () => {
    const { events } = await listen();
    const secret = "hunter2";
    const secrets = {
      envs: [{ key: "PASSWORD", value: secret }],
      annotations: { a: secret },
      labels: { b: secret },
      command: [secret],
      args: [secret],
      auth: { username: "u", password: secret, identityToken: secret },
    };
    await run(
      "CreateContainer",
      {
        podSandboxId: podId,
        config: { metadata: { name: "app", attempt: 0 }, image: { image: "x" }, ...secrets },
        sandboxConfig: { metadata: { name: "web-0", namespace: "shop" }, ...secrets },
        ...secrets,
      },
      () => Promise.resolve({ containerId, token: secret, url: `http://x/${secret}` }),
    );
    const image = {
      image: `https://user:${secret}@registry.example/a:1`,
      annotations: { a: secret },
    };
    await run("PullImage", { image, ...secrets }).catch(() => undefined);
    await run("ExecSync", { containerId, cmd: [secret] }, () =>
      Promise.reject(new Error(secret)),
    ).catch(() => undefined);
    await until(() => events.length === 3);
    expect(JSON.stringify(events)).not.to.include(secret);
    expect(events[0]).to.deep.include({
      pod: { namespace: "shop", name: "web-0", id: podId },
      container: { name: "app", id: containerId },
    });
    expect(events[1]).to.deep.include({ image: "registry.example/a:1" });
  });

  it("tells at once what is under way, again at 1, 2, 4 s, and what ends after its call", async () => {
    let release = (): void => undefined;
    const running = run("StopContainer", { containerId }, async () => {
      const step = beginStep("docker", "POST /containers/{id}/stop");
      await new Promise<void>((resolve) => (release = resolve));
      setTimeout(() => step.end(204), 50);
      return {};
    });
    pulls = [
      {
        image: "a:1",
        phase: "downloading",
        ageMs: 5,
        layersDone: 1,
        layersTotal: 2,
        downloadedBytes: 3,
        totalBytes: 4,
        callers: 1,
      },
    ];
    const { events } = await listen();
    await until(() => events.length >= 2);
    expect(events[0]).to.deep.include({ type: "running", rpc: "StopContainer" });
    expect(events[0]).to.have.nested.property("pod.name", "web-0");
    expect(events[0]).not.to.have.nested.property("steps[0].durationMs");
    expect(events[1]).to.deep.include({ type: "pull", image: "a:1", layersDone: 1 });
    await until(() => events.filter(({ type }) => type === "running").length === 3, 4000);
    expect(events.filter(({ type }) => type === "pull").length).to.be.at.least(2);
    release();
    await running;
    await until(() => events.some(({ type }) => type === "step"));
    const [call, late] = events.slice(-2);
    expect(call).to.deep.include({ type: "call", code: "OK" });
    expect(call).not.to.have.nested.property("steps[0].durationMs");
    expect(late).to.have.nested.property("step.status", 204);
  });

  it("drops and counts what a slow listener does not take, and delays neither calls nor others", async () => {
    const slow = createConnection({ path: folder.path("t.sock") });
    open.push(slow);
    await once(slow, "connect");
    slow.pause();
    const { events } = await listen();
    const request = { image: { image: "i".repeat(250) } };
    let calls = 0;
    for (let more = 100; more > 0; more -= Math.min(1, server.dropped())) {
      if (calls > 20_000) throw new Error("nothing was dropped");
      await run("ImageStatus", request);
      calls += 1;
      if (calls % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(hub.running.size).to.equal(0);
    await until(() => events.length === calls);
    const seen: TraceEvent[] = [];
    void (async () => {
      for await (const event of readEvents(slow)) seen.push(event);
    })().catch(() => undefined);
    await until(() => seen.some(({ type }) => type === "dropped"));
    const dropped = seen.find((event) => event.type === "dropped");
    expect(dropped?.count).to.equal(server.dropped());
    await run("Version", {});
    await until(() => seen.some((event) => event.type === "call" && event.rpc === "Version"));
    expect(events.some(({ type }) => type === "dropped")).to.equal(false);
  });

  it("closes while somebody listens", async () => {
    const { socket } = await listen();
    const closed = once(socket, "close");
    await server.close();
    await closed;
    expect(server.listeners()).to.equal(0);
  });

  it("has a file for a sink that holds the same lines", async () => {
    const path = folder.path("file");
    const file = createTraceFile(path, silentLogger);
    const remove = hub.add(file.sink);
    const { events } = await listen();
    await run("StopContainer", { containerId });
    await run("Version", {});
    await until(() => events.length === 2);
    remove();
    await file.close();
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    expect(readFileSync(path, "utf8")).to.equal(
      events.map((event) => `${JSON.stringify(event)}\n`).join(""),
    );
  });

  it("goes on in a new file after the old one was renamed", async () => {
    const path = folder.path("file");
    const file = createTraceFile(path, silentLogger);
    hub.add(file.sink);
    await run("Version", {});
    await until(() => existsSync(path) && readFileSync(path, "utf8").includes("Version"));
    renameSync(path, `${path}.1`);
    await run("StopContainer", { containerId });
    await until(() => readFileSync(`${path}.1`, "utf8").includes("StopContainer"));
    file.reopen();
    await run("ImageStatus", {});
    await until(() => existsSync(path) && readFileSync(path, "utf8").includes("ImageStatus"));
    await file.close();
    expect(readFileSync(`${path}.1`, "utf8")).to.not.include("ImageStatus");
    expect(statSync(path).mode & 0o777).to.equal(0o600);
  });
});
