import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import { createDockerEngine } from "../../../src/engine/docker-engine.ts";
import { demux } from "../../../src/engine/demux.ts";
import type { EngineError } from "../../../src/engine/errors.ts";
import type { ContainerCreate, EngineEvent } from "../../../src/engine/types.ts";
import { silentLogger } from "../../../src/log.ts";
import { withCallTrace } from "../../../src/sys/call-trace.ts";
import type { CallTrace } from "../../../src/sys/call-trace.ts";
import { failureOf } from "../../support/engine-failure.ts";
import { engineRig } from "../../support/engine-rig.ts";
import { httpAnswer, startRawServer } from "../../support/raw-server.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const body: ContainerCreate = { Image: "busybox:1", Labels: { a: "b" }, HostConfig: {} };

describe("DockerEngine through the proxy to the fake engine", () => {
  const rig = engineRig();
  let { fake, proxy, engine } = rig;
  beforeEach(() => ({ fake, proxy, engine } = rig));

  it("runs a container through its life with one request for each call", async () => {
    const { id } = await engine.createContainer("one", body);
    expect(await engine.startContainer(id)).to.equal(true);
    expect(await engine.startContainer(id)).to.equal(false);
    const found = await engine.inspectContainer("one");
    expect([found.Id, found.State.Status, found.Config.Labels]).to.deep.equal([
      id,
      "running",
      { fromImage: "1", a: "b" },
    ]);
    expect((await engine.listContainers(["a=b", "fromImage"])).map((c) => c.Id)).to.deep.equal([
      id,
    ]);
    expect(await engine.listContainers(["a=c"])).to.deep.equal([]);
    await engine.updateContainer(id, { CpuShares: 7 });
    expect((await engine.inspectContainer(id)).HostConfig.CpuShares).to.equal(7);
    expect(await engine.stopContainer(id, 3)).to.equal(true);
    expect((await engine.inspectContainer(id)).State.ExitCode).to.equal(143);
    expect((await failureOf(engine.killContainer(id, "KILL"))).status).to.equal(409);
    await engine.removeContainer(id);
    expect((await failureOf(engine.inspectContainer(id))).status).to.equal(404);
    expect(proxy.count()).to.equal(14);
    expect(proxy.count(/^GET \/_ping$/)).to.equal(1);
    expect(proxy.requests.find((r) => r.route.endsWith("/stop"))?.path).to.equal(
      `/v1.47/containers/${id}/stop?t=3`,
    );
    expect(proxy.requests.find((r) => r.method === "DELETE")?.path).to.equal(
      `/v1.47/containers/${id}?force=1&v=1`,
    );
  });

  it("tells of each answer but a ping's, also of one that says no, and of none that broke off", async () => {
    let answers = 0;
    const { endpoint } = rig;
    const asked = createDockerEngine({
      endpoint,
      log: silentLogger,
      onAnswer: () => (answers += 1),
    });
    try {
      await asked.ping();
      expect(answers).to.equal(0);
      const { id } = await asked.createContainer("one", body);
      await failureOf(asked.killContainer(id, "KILL"));
      expect(answers).to.equal(2);
      await fake.close();
      await failureOf(asked.inspectContainer(id));
      expect(answers).to.equal(2);
    } finally {
      asked.close();
    }
  });

  it("passes labels of any name", async () => {
    const labels = JSON.parse('{"__proto__":"p","constructor":"c","é=\\"":"\\u2028"}') as Record<
      string,
      string
    >;
    const { id } = await engine.createContainer("odd", { ...body, Labels: labels });
    const found = (await engine.inspectContainer(id)).Config.Labels ?? {};
    expect(Object.entries(found)).to.deep.include.members(Object.entries(labels));
  });

  it("runs a command with input, output of both kinds and an exit code", async () => {
    fake.docker.execs.program = async (_exec, stream) => {
      stream.output("stdout", await buffer(stream.stdin));
      stream.output("stderr", "said");
      return 7;
    };
    const { id } = await engine.createContainer("one", body);
    const refused = {
      Cmd: ["x"],
      Tty: false,
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
    };
    expect((await failureOf(engine.createExec(id, refused))).status).to.equal(409);
    await engine.startContainer(id);
    const exec = await engine.createExec(id, refused);
    const stream = await engine.startExec(exec, false);
    const stdout: Buffer[] = [];
    const out = new PassThrough().on("data", (chunk: Buffer) => stdout.push(chunk));
    const input = Buffer.alloc(200_000, "in");
    stream.end(input);
    await demux(stream, { stdout: out });
    expect(Buffer.concat(stdout).equals(input)).to.equal(true);
    expect(await engine.inspectExec(exec)).to.include({
      Running: false,
      ExitCode: 7,
      ContainerID: id,
    });
    expect((await failureOf(engine.startExec("0f", false))).status).to.equal(404);
  });

  it("follows events until it is stopped, and fails when they break off", async () => {
    const follow = async (
      signal: AbortSignal,
      onSubscribed: () => void,
    ): Promise<EngineEvent[]> => {
      const seen: EngineEvent[] = [];
      const filters = { type: ["container"] };
      for await (const event of engine.events(filters, { signal, onSubscribed })) seen.push(event);
      return seen;
    };
    const controller = new AbortController();
    let following: Promise<EngineEvent[]> | undefined;
    await new Promise<void>((resolve) => {
      following = follow(controller.signal, resolve);
    });
    const { id } = await engine.createContainer("one", body);
    await engine.startContainer(id);
    await engine.removeContainer(id);
    while (proxy.count(/DELETE/) === 0) await new Promise(setImmediate);
    await new Promise((resolve) => setTimeout(resolve, 30));
    controller.abort();
    const events = (await following) ?? [];
    expect(events.map((e) => e.Action)).to.deep.equal([
      "create",
      "start",
      "kill",
      "die",
      "destroy",
    ]);
    expect(events.map((e) => e.timeNano)).to.deep.equal(events.map((e) => e.timeNano).sort());
    expect(events[0]?.Actor.ID).to.equal(id);
    expect(events[0]?.Actor.Attributes).to.include({ name: "one", a: "b" });

    let broken: Promise<EngineError> | undefined;
    await new Promise<void>((resolve) => {
      broken = failureOf(follow(new AbortController().signal, resolve));
    });
    fake.docker.goAway();
    expect((await broken)?.failure).to.equal("unreachable");
  });

  it("works on images", async () => {
    fake.docker.images.registry.set("reg.example/a/b:1", {
      references: ["reg.example/a/b:1"],
      user: "7",
    });
    const progress: unknown[] = [];
    const auth = { username: "ü", password: "???>>>" };
    for await (const p of engine.pullImage({
      repository: "reg.example/a/b",
      tagOrDigest: "1",
      auth,
    }))
      progress.push(p);
    expect(progress).to.have.length(2);
    expect((await engine.inspectImage("reg.example/a/b:1")).Config?.User).to.equal("7");
    await engine.tagImage("reg.example/a/b:1", "x/y", "2");
    expect((await engine.listImages()).flatMap((i) => i.RepoTags ?? [])).to.include("x/y:2");
    await engine.removeImage("x/y:2");
    expect((await failureOf(engine.inspectImage("x/y:2"))).status).to.equal(404);
    const none = engine.pullImage({ repository: "reg.example/none", tagOrDigest: "1" });
    expect(
      (
        await failureOf(
          none[Symbol.asyncIterator]()
            .next()
            .then(async () => {
              for await (const p of none) progress.push(p);
            }),
        )
      ).status,
    ).to.equal(404);
  });

  it("is a step of the call it works for", async () => {
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    const trace: CallTrace = {
      rpc: "X",
      startedAtMs: performance.now(),
      steps: [],
      traceparent,
    };
    await engine.ping();
    await withCallTrace(trace, async () => {
      const { id } = await engine.createContainer("one", body);
      await failureOf(engine.killContainer(id, "TERM"));
    });
    expect(trace.steps.map((s) => [s.kind, s.name, s.status])).to.deep.equal([
      ["docker", "POST /containers/create", 201],
      ["docker", "POST /containers/{id}/kill", 409],
    ]);
  });

  it("applies its own limit to budgets, but not to a grace period", async () => {
    const short = createDockerEngine({
      endpoint: rig.endpoint,
      log: silentLogger,
      requestTimeoutMs: 400,
    });
    try {
      const { id } = await short.createContainer("one", body);
      await short.startContainer(id);
      proxy.faults.add({ match: { route: /json$/ }, action: "hang" });
      proxy.faults.add({ match: { route: /stop$/ }, action: "delay", delayMs: 600 });
      expect((await failureOf(short.inspectContainer(id))).failure).to.equal("timeout");
      expect(await short.stopContainer(id, 1)).to.equal(true);
    } finally {
      short.close();
    }
  });
});

describe("DockerEngine on the wire", () => {
  const folder = tempFolder();
  after(() => folder.remove());

  it("sends trace context, registry credentials and bodies as Docker reads them", async () => {
    const server = await startRawServer(folder.path("w"), (socket, head) => {
      if (head.includes("/images/create")) socket.write(httpAnswer(200, ""));
      else if (head.includes("/images/load")) socket.end(httpAnswer(200, ""));
      else socket.write(httpAnswer(200, '{"Id":"0f","Warnings":["w1"]}'));
    });
    const engine = createDockerEngine({
      endpoint: `unix://${folder.path("w")}`,
      log: silentLogger,
    });
    try {
      const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
      const trace = (parent: string): CallTrace => ({
        rpc: "",
        startedAtMs: 0,
        steps: [],
        traceparent: parent,
      });
      const created = await withCallTrace(trace(traceparent), () =>
        engine.createContainer("a&b=c", body),
      );
      expect(created).to.deep.equal({ id: "0f", warnings: ["w1"] });
      expect(server.requests[1]).to.match(
        /^POST \/v1\.47\/containers\/create\?name=a%26b%3Dc HTTP/,
      );
      expect(server.requests[1]).to.match(/\r\ntraceparent: 00-a{32}-b{16}-01\r\n/i);
      await withCallTrace(trace("00-evil\r\nX-Evil: 1"), () => engine.inspectContainer("0f"));
      expect(server.requests[2]).not.to.match(/evil|traceparent/i);

      const auth = { username: "ü", password: "???>>>" };
      const pull = engine.pullImage({ repository: "r", tagOrDigest: "sha256:0", auth });
      for await (const progress of pull) expect(progress).to.equal(undefined);
      expect(server.requests[3]).to.match(
        /^POST \/v1\.47\/images\/create\?fromImage=r&tag=sha256%3A0 HTTP/,
      );
      const header = /X-Registry-Auth: ([\w=-]+)\r\n/.exec(server.requests[3] ?? "")?.[1] ?? "";
      expect(header.length % 4).to.equal(0);
      expect(JSON.parse(Buffer.from(header, "base64url").toString())).to.deep.equal(auth);

      await engine.loadImage(Readable.from([Buffer.from("tar")]));
      expect(server.requests[4]).to.match(/^POST \/v1\.47\/images\/load\?quiet=1 HTTP/);
      expect(server.requests[4]).to.match(/Content-Type: application\/x-tar\r\n/);
    } finally {
      engine.close();
      await server.close();
    }
  });
});
