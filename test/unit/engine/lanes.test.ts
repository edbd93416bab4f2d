import { setTimeout as sleep } from "node:timers/promises";
import type { Socket } from "node:net";
import { expect } from "chai";
import { createDockerEngine } from "../../../src/engine/docker-engine.ts";
import type { DockerEngine } from "../../../src/engine/docker-engine.ts";
import { laneLimits } from "../../../src/engine/call.ts";
import { silentLogger } from "../../../src/log.ts";
import { failureOf } from "../../support/engine-failure.ts";
import { rawEngines } from "../../support/raw-engine.ts";
import { httpAnswer, startRawServer } from "../../support/raw-server.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

const id = (at: number): string => String(at).padStart(64, "0");

/** One call of each purpose, and what of its request's head tells it. */
const others: Record<string, [ask: (engine: DockerEngine) => Promise<unknown>, head: RegExp]> = {
  create: [
    (engine) => engine.createContainer("x", { Image: "i" } as never),
    /^POST \S+\/containers\/create/,
  ],
  start: [(engine) => engine.startContainer(id(900)), /^POST \S+900\/start/],
  kill: [(engine) => engine.killContainer(id(900), "KILL"), /^POST \S+900\/kill/],
  exec: [(engine) => engine.createExec(id(900), {} as never), /^POST \S+900\/exec/],
  remove: [(engine) => engine.removeContainer(id(900)), /^DELETE \S+900/],
  update: [(engine) => engine.updateContainer(id(900), {}), /^POST \S+900\/update/],
  inspect: [(engine) => engine.inspectContainer(id(900)), /^GET \S+containers\/\S+900\/json/],
  "inspect of an exec": [(engine) => engine.inspectExec(id(900)), /^GET \S+exec\/\S+900\/json/],
  "inspect of an image": [(engine) => engine.inspectImage("busybox"), /^GET \S+images\/busybox/],
  list: [(engine) => engine.listContainers([]), /^GET \S+\/containers\/json/],
  "second stop": [(engine) => engine.stopContainer(id(7), 1), /^POST \S+007\/stop\?t=1 /],
};

// No answer ever comes, so that whatever reaches the engine did not wait for something else.
describe("lanes to the engine", function () {
  this.timeout(60_000);
  const start = rawEngines();
  const stopsIn = (requests: readonly string[]): number =>
    requests.filter((head) => /^POST \S+\/stop\?t=30 /.test(head)).length;

  it("let 330 stops go out at once, and everything else beside them", async () => {
    let arrived = 0;
    let onAll: (() => void) | undefined;
    const all = new Promise<void>((resolve) => (onAll = resolve));
    const { engine, server } = await start(() => {
      arrived += 1;
      if (arrived === 330) onAll?.();
    });
    await engine.ping();
    // A loaded machine gives this process a small part of each second, so what counts is the time that
    // it would take alone: what it computes, the fake engine's part with it, and what it waits for
    // events or timers.
    const cpu = process.cpuUsage();
    const loop = performance.eventLoopUtilization();
    const stops = Array.from({ length: 330 }, (_, at) => engine.stopContainer(id(at), 30));
    const ended = Promise.allSettled(stops);
    await all;
    const { user, system } = process.cpuUsage(cpu);
    const waited = performance.eventLoopUtilization(loop).idle;
    expect((user + system) / 1_000 + waited, "milliseconds").to.be.below(1_000);
    expect(stopsIn(server.requests)).to.equal(330);
    const asked = Object.values(others).map(([ask]) => ask(engine));
    const answered = Promise.allSettled(asked);
    for (const [name, [, head]] of Object.entries(others)) {
      await until(
        () => server.requests.some((r) => head.test(r)),
        20_000,
        `${name} is on the wire`,
      );
    }
    engine.close();
    await Promise.all([ended, answered]);
  });

  it("wait for a socket whose backlog is full, as older kernels and units have it", async () => {
    const folder = tempFolder();
    const path = folder.path("small.sock");
    const server = await startRawServer(
      path,
      (socket, head) => socket.end(httpAnswer(head.includes("/stop") ? 304 : 200, "")),
      { backlog: 4 },
    );
    const engine = createDockerEngine({ endpoint: `unix://${path}`, log: silentLogger });
    await engine.ping();
    const stops = Array.from({ length: 60 }, (_, at) => engine.stopContainer(id(at), 30));
    expect(await Promise.all(stops)).to.deep.equal(stops.map(() => false));
    expect(stopsIn(server.requests)).to.equal(60);
    engine.close();
    await server.close();
    folder.remove();
  });

  for (const [name, [, head]] of Object.entries(others)) {
    it(`that are full of hung requests hold up no other lane: ${name}`, async () => {
      const { engine, server } = await start(() => undefined, { inFlight: 2 });
      await engine.ping();
      const ask = (which: string): Promise<unknown> =>
        Promise.resolve(others[which]?.[0](engine)).catch(() => undefined);
      const hung = Array.from({ length: 4 }, () => ask(name));
      await until(() => server.requests.some((r) => head.test(r)), 20_000, "the lane is full");
      const sharesLane = name === "remove" || name === "update";
      const rest = Object.keys(others).filter(
        (other) => other !== name && !(sharesLane && /remove|update/.test(other)),
      );
      const asked = rest.map(ask);
      for (const other of rest) {
        const sent = others[other]?.[1] ?? /$^/;
        await until(() => server.requests.some((r) => sent.test(r)), 20_000, `${other} is sent`);
      }
      engine.close();
      await Promise.all([...hung, ...asked]);
    });
  }

  it("take no time in the queue from a request's budget", async () => {
    const waiting: Socket[] = [];
    const { engine } = await start((socket) => waiting.push(socket), { inFlight: 1 });
    const first = engine.inspectContainer("0a", { timeoutMs: 1_000 });
    const second = engine.inspectContainer("0b", { timeoutMs: 1_000 });
    const answer = httpAnswer(200, '{"Id":"0f"}');
    await sleep(700);
    waiting[0]?.write(answer);
    await first;
    await sleep(700);
    // 1.4 s after it was asked for, 0.7 s after it was sent.
    waiting.at(-1)?.write(answer);
    expect((await second).Id).to.equal("0f");
  });

  it("have a limit for the queue, which is not mistaken for a silent engine", async () => {
    const { engine, server } = await start(() => undefined, { inFlight: 1 });
    const options = { timeoutMs: 300.4 };
    const hung = failureOf(engine.inspectContainer("0a", { timeoutMs: 2_000 }));
    const queued = await failureOf(engine.inspectContainer("0b", options));
    expect([queued.failure, queued.message]).to.deep.equal([
      "busy",
      'inspect container: no place for it in the lane "inspectContainer" of docker within 300 ms',
    ]);
    expect(server.requests.some((head) => head.includes("/0b/"))).to.equal(false);
    expect((await hung).failure).to.equal("timeout");
    // Its place is free again for the next one.
    expect((await failureOf(engine.inspectContainer("0c", options))).failure).to.equal("timeout");
  });

  it("have room for the probes and starts of a whole node", () => {
    for (const lane of ["exec", "inspectExec", "start", "create", "kill"] as const) {
      expect(laneLimits[lane], lane).to.be.at.least(250);
    }
  });
});
