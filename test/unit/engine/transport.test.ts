import { getEventListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { createDockerEngine } from "../../../src/engine/docker-engine.ts";
import { silentLogger } from "../../../src/log.ts";
import { failureOf } from "../../support/engine-failure.ts";
import { rawEngines } from "../../support/raw-engine.ts";
import { httpAnswer, startRawServer } from "../../support/raw-server.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const inspectBody = '{"Id":"0f","Name":"/x"}';

describe("transport against servers that misbehave", () => {
  const start = rawEngines();

  it("rejects when the engine dies in the middle of a body", async () => {
    for (const head of ["Content-Length: 500", "Transfer-Encoding: chunked"]) {
      const { engine } = await start((socket) => {
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${head}\r\n\r\n5\r\n{"Id"`,
        );
        setTimeout(() => socket.destroy(), 20);
      });
      const error = await failureOf(engine.inspectContainer("0f"));
      expect(error.failure, head).to.equal("unreachable");
      expect(error.message).to.match(/^inspect container: no connection to docker: /);
    }
  });

  it("rejects when an error body breaks off", async () => {
    const { engine } = await start((socket) => {
      socket.end("HTTP/1.1 500 Oops\r\nContent-Length: 500\r\n\r\n{");
    });
    expect((await failureOf(engine.inspectContainer("0f"))).failure).to.equal("unreachable");
  });

  it("gives up at the deadline: before headers and inside a body", async () => {
    const { engine } = await start((socket, head) => {
      if (head.includes("/slow/")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{");
    });
    const options = { timeoutMs: 60 };
    const results = await Promise.all(
      ["hang", "slow"].map((id) => failureOf(engine.inspectContainer(id, options))),
    );
    for (const error of results) {
      expect(error.failure).to.equal("timeout");
      expect(error.message).to.equal("inspect container: no answer from docker within 60 ms");
    }
  });

  it("keeps the caps apart: hung inspects delay neither lists nor pings", async () => {
    const { engine, server } = await start(
      (socket, head) => {
        if (head.includes("/containers/json")) socket.write(httpAnswer(200, "[]"));
      },
      { inFlight: 3 },
    );
    const controller = new AbortController();
    const hung = Array.from({ length: 20 }, () =>
      failureOf(engine.inspectContainer("0f", { signal: controller.signal })),
    );
    expect(await engine.listContainers([])).to.deep.equal([]);
    await engine.ping();
    const reached = server.requests.filter((r) => r.includes("/0f/json")).length;
    expect(reached).to.equal(3);
    controller.abort();
    for (const error of await Promise.all(hung)) expect(error.failure).to.equal("aborted");
    expect(server.requests.filter((r) => r.includes("/0f/json")).length).to.equal(reached);
  });

  it("ends at its caller's signal, also one aborted before", async () => {
    const { engine, server } = await start(() => undefined);
    const gone = { signal: AbortSignal.abort() };
    expect((await failureOf(engine.startContainer("0f", gone))).failure).to.equal("aborted");
    expect(server.requests.filter((r) => r.startsWith("POST"))).to.deep.equal([]);
    const controller = new AbortController();
    const starting = failureOf(engine.startContainer("0f", { signal: controller.signal }));
    setTimeout(() => controller.abort(), 30);
    expect((await starting).failure).to.equal("aborted");
  });

  it("leaves no listener on the caller's signal", async () => {
    const { engine } = await start((socket) => socket.write(httpAnswer(200, inspectBody)));
    const { signal } = new AbortController();
    for (let i = 0; i < 5; i += 1) await engine.inspectContainer("0f", { signal });
    expect(getEventListeners(signal, "abort")).to.deep.equal([]);
  });

  it("turns odd answers into short errors", async () => {
    const html = "<html><body>" + "x".repeat(200_000) + "</body></html>";
    const cases: [answer: string, failure: string, status: number, text: RegExp][] = [
      [
        httpAnswer(502, html, { "Content-Type": "text/html" }),
        "status",
        502,
        /: HTTP 502 Status \(an HTML page\)$/,
      ],
      [
        httpAnswer(500, `{"message":"${"y".repeat(200_000)}"}`),
        "status",
        500,
        /: HTTP 500 Status$/,
      ],
      [
        httpAnswer(404, '{"message":"No such container: 0f"}'),
        "status",
        404,
        /: No such container: 0f$/,
      ],
      [httpAnswer(301, "", { Location: "/elsewhere" }), "status", 301, /HTTP 301/],
      [httpAnswer(200, html, { "Content-Type": "text/html" }), "protocol", 0, /not JSON/],
      [httpAnswer(200, "[]"), "protocol", 0, /no Id in it/],
      [httpAnswer(200, "null"), "protocol", 0, /no Id in it/],
      [httpAnswer(200, ""), "protocol", 0, /no Id in it/],
      [
        "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        "protocol",
        0,
        /unasked/,
      ],
      ["SSH-2.0-OpenSSH\r\n\r\n", "unreachable", 0, /no connection/],
    ];
    for (const [answer, failure, status, text] of cases) {
      const { engine } = await start((socket) => socket.write(answer));
      const error = await failureOf(engine.inspectContainer("0f"));
      expect([error.failure, error.status], answer.slice(0, 80)).to.deep.equal([failure, status]);
      expect(error.message).to.match(text);
      expect(error.message.length).to.be.lessThan(1200);
    }
  });

  it("repeats a GET on a pooled connection that had died, and nothing else", async () => {
    const { engine, server } = await start((socket, _head, number) => {
      // Both pooled connections die at the moment they are used again.
      if (number === 1 || number === 3) socket.write(httpAnswer(200, inspectBody));
      else if (number === 2 || number === 4) socket.destroy();
      else socket.write(httpAnswer(200, inspectBody));
    });
    await engine.inspectContainer("0f");
    expect((await engine.inspectContainer("0f")).Id).to.equal("0f");
    expect((await failureOf(engine.startContainer("0f"))).failure).to.equal("unreachable");
    const passed = server.requests.map((r) => r.split(" ", 2).join(" "));
    expect(passed).to.deep.equal([
      "GET /_ping",
      "GET /v1.47/containers/0f/json",
      "GET /v1.47/containers/0f/json",
      "GET /_ping",
      "GET /v1.47/containers/0f/json",
      "POST /v1.47/containers/0f/start",
    ]);
  });

  it("does not repeat a GET whose new connection was reset", async () => {
    const { engine, server } = await start((socket) => socket.destroy());
    expect((await failureOf(engine.inspectContainer("0f"))).failure).to.equal("unreachable");
    expect(server.requests).to.have.length(2);
  });

  it("reuses connections for short calls and takes new ones for long calls", async () => {
    const { engine, server } = await start((socket, head) => {
      if (head.includes("/stop")) socket.write("HTTP/1.1 204 No Content\r\n\r\n");
      else socket.write(httpAnswer(200, inspectBody));
    });
    for (let i = 0; i < 5; i += 1) await engine.inspectContainer("0f");
    expect(server.accepted()).to.equal(2);
    expect(await engine.stopContainer("0f", 1)).to.equal(true);
    expect(await engine.stopContainer("0f", 1)).to.equal(true);
    expect(server.accepted()).to.equal(4);
  });

  it("takes 304 as no change", async () => {
    const { engine } = await start((socket) => socket.write("HTTP/1.1 304 Not Modified\r\n\r\n"));
    expect(await engine.startContainer("0f")).to.equal(false);
    expect(await engine.stopContainer("0f", 1)).to.equal(false);
  });

  it("reports each request with its route, status and failure", async () => {
    const { engine, seen } = await start((socket, _head, number) => {
      if (number === 1) socket.write(httpAnswer(404, '{"message":"no"}'));
      else if (number === 2) socket.write(httpAnswer(200, inspectBody));
      else socket.destroy();
    });
    await failureOf(engine.inspectContainer("0f"));
    await engine.inspectContainer("0f");
    await failureOf(engine.killContainer("0f", "TERM"));
    expect(
      seen.map(({ method, route, status, failure }) => [method, route, status, failure]),
    ).to.deep.equal([
      ["GET", "/_ping", 200, undefined],
      ["GET", "/containers/{id}/json", 404, "status"],
      ["GET", "/containers/{id}/json", 200, undefined],
      ["POST", "/containers/{id}/kill", 0, "unreachable"],
    ]);
    for (const { durationMs } of seen) expect(durationMs).to.be.within(0, 2000);
  });

  it("says that there is no engine, and knows one that comes", async () => {
    const folder = tempFolder();
    const path = folder.path("later.sock");
    const engine = createDockerEngine({ endpoint: `unix://${path}`, log: silentLogger });
    expect((await failureOf(engine.ping())).failure).to.equal("unreachable");
    expect(engine.connection).to.deep.equal({ apiVersion: undefined });
    expect(engine.supports(41)).to.equal(false);
    const error = await failureOf(engine.listImages());
    expect(error.operation).to.equal("list images");
    expect(error.message).to.match(
      /^list images: no connection to docker: connect \/.*: no such file or directory$/,
    );
    const server = await startRawServer(path, (socket) => socket.write(httpAnswer(200, "[]")));
    expect(await engine.listImages()).to.deep.equal([]);
    expect(engine.connection).to.deep.equal({ apiVersion: [1, 47] });
    engine.close();
    await server.close();
    folder.remove();
  });

  it("refuses requests at once after two pings without an answer, not after one", async () => {
    let answered = true;
    const { engine } = await start(
      (socket, head) => {
        if (!answered) return;
        const body = head.startsWith("GET /_ping") ? "OK" : "[]";
        socket.write(httpAnswer(200, body, { "Api-Version": "1.47" }));
      },
      { handlePing: true },
    );
    await engine.ping();
    answered = false;
    await failureOf(engine.ping({ timeoutMs: 50 }));
    answered = true;
    expect(await engine.listImages()).to.deep.equal([]);
    answered = false;
    for (let ping = 0; ping < 2; ping += 1) await failureOf(engine.ping({ timeoutMs: 50 }));
    const error = await failureOf(engine.listImages());
    expect(error.message).to.match(/docker does not answer its ping/);
    answered = true;
    await engine.ping();
    expect(await engine.listImages()).to.deep.equal([]);
  });

  it("takes an event for an answer: an engine that tells of events gets its requests", async () => {
    let answered = true;
    let tell = (): void => undefined;
    const event = '{"Type":"container","Action":"die","Actor":{"ID":"0f"},"timeNano":1}\n';
    const { engine } = await start(
      (socket, head) => {
        if (head.includes("/events")) {
          socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
          tell = () => socket.write(`${event.length.toString(16)}\r\n${event}\r\n`);
        } else if (answered) {
          const body = head.startsWith("GET /_ping") ? "OK" : "[]";
          socket.write(httpAnswer(200, body, { "Api-Version": "1.47" }));
        }
      },
      { handlePing: true },
    );
    const ended = new AbortController();
    let onSubscribed = (): void => undefined;
    const subscribed = new Promise<void>((resolve) => (onSubscribed = resolve));
    const options = { signal: ended.signal, onSubscribed };
    const events = engine.events({}, options)[Symbol.asyncIterator]();
    const first = events.next();
    await subscribed;
    answered = false;
    for (let ping = 0; ping < 2; ping += 1) await failureOf(engine.ping({ timeoutMs: 50 }));
    await failureOf(engine.listImages());
    tell();
    expect((await first).done).to.equal(false);
    answered = true;
    expect(await engine.listImages()).to.deep.equal([]);
    ended.abort();
    await events.next();
  });

  it("counts a frozen engine as absent when the ping gets no answer", async () => {
    const { engine, server } = await start(() => undefined, { handlePing: true });
    const error = await failureOf(engine.ping({ timeoutMs: 1_000 }));
    expect(error.failure).to.equal("timeout");
    expect(server.requests).to.have.length(1);
  });

  it("ends everything under way when it is closed", async () => {
    const { engine } = await start(() => undefined);
    const waiting = failureOf(engine.stopContainer("0f", 100));
    await sleep(20);
    engine.close();
    expect((await waiting).failure).to.equal("aborted");
    expect((await failureOf(engine.info())).failure).to.equal("aborted");
  });

  it("takes unix sockets only, whatever the environment says", async () => {
    for (const endpoint of [
      "tcp://127.0.0.1:2375",
      "http://x",
      "ssh://x",
      "/run/docker.sock",
      "unix://",
      "unix://run/x",
    ]) {
      expect(() => createDockerEngine({ endpoint, log: silentLogger }), endpoint).to.throw(
        /docker endpoint/,
      );
    }
    process.env["DOCKER_HOST"] = "tcp://127.0.0.1:1";
    try {
      const { engine } = await start((socket) => socket.write(httpAnswer(200, "[]")));
      expect(await engine.listImages()).to.deep.equal([]);
    } finally {
      delete process.env["DOCKER_HOST"];
    }
  });
});
