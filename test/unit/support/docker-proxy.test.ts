import { Agent, request } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { expect } from "chai";
import { startDockerProxy } from "../../support/docker-proxy.ts";
import type { DockerProxy } from "../../support/docker-proxy.ts";
import { httpAnswer, startRawServer } from "../../support/raw-server.ts";
import type { RawServer } from "../../support/raw-server.ts";
import { tempFolder } from "../../support/temp-folder.ts";

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

describe("docker proxy", () => {
  const folder = tempFolder();
  const listen = folder.path("proxy");
  let upstream: RawServer;
  let proxy: DockerProxy;

  const ask = (method: string, path: string, body = "", timeoutMs = 2000): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const req = request({
        socketPath: listen,
        method,
        path,
        agent: new Agent(),
        headers: body === "" ? {} : { "Content-Length": Buffer.byteLength(body) },
        signal: AbortSignal.timeout(timeoutMs),
      });
      req.on("error", reject);
      req.on("response", (res) => {
        text(res).then(
          (got) => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: got }),
          reject,
        );
      });
      req.end(body);
    });
  const failure = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => "no failure",
      (e: unknown) => (e as { code?: string }).code ?? (e as Error).name,
    );

  before(async () => {
    upstream = await startRawServer(folder.path("engine"), (socket, head) => {
      if (/upgrade: tcp/i.test(head)) {
        socket.removeAllListeners("data");
        socket.removeAllListeners("end");
        socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello ");
        void buffer(socket).then((all) => socket.end(`${all.length} bytes`));
      } else if (head.includes("/events")) {
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (let i = 0; i < 100; i += 1) socket.write(`3\r\n${String(i).padStart(2, "0")}\n\r\n`);
        socket.end("0\r\n\r\n");
      } else {
        socket.end(
          httpAnswer(head.includes("/none") ? 404 : 200, '{"a":1}', {
            "X-Odd": "1",
            Date: "never",
          }),
        );
      }
    });
    proxy = await startDockerProxy({ upstream: folder.path("engine"), listen });
  });
  afterEach(() => {
    proxy.faults.clear();
    proxy.reset();
    upstream.requests.length = 0;
  });
  after(async () => {
    await proxy.close();
    await upstream.close();
    folder.remove();
  });

  it("passes requests and answers and keeps count", async () => {
    const { status, headers, body } = await ask("POST", "/v1.41/containers/0f/kill?signal=9", "x");
    expect([status, headers["x-odd"], headers.date, body]).to.deep.equal([
      200,
      "1",
      "never",
      '{"a":1}',
    ]);
    expect((await ask("GET", "/v1.41/images/reg/a/b:none/none/json")).status).to.equal(404);
    expect(proxy.requests.map((r) => [r.method, r.route, r.id, r.status])).to.deep.equal([
      ["POST", "/containers/{id}/kill", "0f", 200],
      ["GET", "/images/{name}/json", "reg/a/b:none/none", 404],
    ]);
    expect([proxy.count(), proxy.count(/^POST /), proxy.count(/exec/)]).to.deep.equal([2, 1, 0]);
    expect(upstream.requests[0]).to.match(/^POST \/v1\.41\/containers\/0f\/kill\?signal=9 HTTP/);
  });

  it("tunnels raw connections with half-close", async () => {
    const socket = connect({ path: listen, allowHalfOpen: true });
    socket.write(
      "POST /exec/0f/start HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    );
    await new Promise((resolve) => socket.once("readable", resolve));
    socket.end(Buffer.alloc(300_000, "\r\n\0\xff"));
    const answer = String(await buffer(socket));
    expect(answer).to.match(/^HTTP\/1\.1 101 UPGRADED\r\n/);
    expect(answer).to.match(/\r\n\r\nhello 300000 bytes$/);
    expect(proxy.requests[0]).to.include({ route: "/exec/{id}/start", status: 101, id: "0f" });
  });

  it("cuts before and after the engine has acted, as often as told", async () => {
    const before = proxy.faults.add({ match: { route: /json/ }, action: "cutBefore", times: 2 });
    expect(await failure(ask("GET", "/containers/json"))).to.equal("ECONNRESET");
    expect(await failure(ask("GET", "/containers/json"))).to.equal("ECONNRESET");
    expect([before.hits, upstream.requests.length]).to.deep.equal([2, 0]);
    expect((await ask("GET", "/containers/json")).status).to.equal(200);
    proxy.faults.add({ match: { method: "POST", route: /create/ }, action: "cutAfter" });
    expect(await failure(ask("POST", "/containers/create", "{}"))).to.equal("ECONNRESET");
    expect(upstream.requests).to.have.length(2);
    expect((await ask("GET", "/containers/create")).status).to.equal(200);
  });

  it("breaks answers off, and holds them back", async () => {
    proxy.faults.add({ match: { route: /json/ }, action: "truncate", times: 1 });
    expect(await failure(ask("GET", "/containers/json"))).to.equal("ECONNRESET");
    proxy.faults.add({ match: { route: /events/ }, action: "truncate", bytes: 30, times: 1 });
    expect(await failure(ask("GET", "/events"))).to.equal("ECONNRESET");
    proxy.faults.add({ match: { route: /events/ }, action: "stall" });
    expect(await failure(ask("GET", "/events", "", 60))).to.equal("ABORT_ERR");
    proxy.faults.add({ match: { route: /json/ }, action: "hang" });
    const sent = upstream.requests.length;
    expect(await failure(ask("GET", "/containers/json", "", 60))).to.equal("ABORT_ERR");
    expect(upstream.requests).to.have.length(sent);
  });

  it("answers in place of the engine, and late", async () => {
    proxy.faults.add({
      match: { route: /json/ },
      action: "status",
      status: 502,
      body: "<h1>no</h1>",
      times: 1,
    });
    const { status, headers, body } = await ask("GET", "/containers/json");
    expect([status, headers["content-type"], body]).to.deep.equal([
      502,
      "text/html",
      "<h1>no</h1>",
    ]);
    proxy.faults.add({ match: { route: /json/ }, action: "delay", delayMs: 80 });
    const startedAt = performance.now();
    expect((await ask("GET", "/containers/json")).status).to.equal(200);
    expect(performance.now() - startedAt).to.be.greaterThan(70);
    expect(proxy.requests.map((r) => [r.status, r.fault])).to.deep.equal([
      [502, "status"],
      [200, "delay"],
    ]);
  });

  it("leaves lines out of a stream", async () => {
    const all = await ask("GET", "/events");
    expect(all.body.split("\n")).to.have.length(101);
    proxy.faults.add({ match: { route: /events/ }, action: "drop", probability: 0.5 });
    const some = (await ask("GET", "/events")).body.split("\n").slice(0, -1);
    expect(some.length).to.be.within(15, 85);
    for (const line of some) expect(line).to.match(/^\d\d$/);
  });

  it("lets go of the engine when the client goes", async () => {
    const hung = await startDockerProxy({
      upstream: folder.path("gone"),
      listen: folder.path("p2"),
    });
    const path = folder.path("p2");
    const result = failure(
      new Promise((_resolve, reject) => {
        request({ socketPath: path, path: "/x" }).on("error", reject).end();
      }),
    );
    expect(await result).to.equal("ECONNRESET");
    await hung.close();
    expect(hung.connections).to.equal(0);
  });
});
