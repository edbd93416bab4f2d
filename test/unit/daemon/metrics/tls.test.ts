import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { connect } from "node:net";
import { TLSSocket } from "node:tls";
import { expect } from "chai";
import { serveMetrics } from "../../../../src/daemon/metrics/server.ts";
import type { MetricsTls } from "../../../../src/daemon/metrics/server.ts";
import { silentLogger } from "../../../../src/log.ts";
import { createAuthority, createCertificate } from "../../../support/certificates.ts";
import type { Certificate } from "../../../support/certificates.ts";
import { metricsOfNothing } from "../../../support/metrics-of-nothing.ts";
import { tempFolder } from "../../../support/temp-folder.ts";

describe("Dockline's own metrics for other machines", () => {
  const folder = tempFolder();
  const of = (name: string, authority: Certificate): Certificate =>
    createCertificate(folder.path(""), name, authority);
  let authority: Certificate;
  let client: Certificate;
  let stranger: Certificate;
  let tls: MetricsTls;
  before(() => {
    authority = createAuthority(folder.path(""), "authority");
    client = of("client", authority);
    stranger = of("stranger", createAuthority(folder.path(""), "another"));
    tls = { ...of("server", authority), clientCaFile: authority.certFile };
  });
  after(() => folder.remove());

  const serve = async (address: string, given?: MetricsTls): ReturnType<typeof serveMetrics> =>
    await serveMetrics({
      ...{ address, tls: given, metrics: metricsOfNothing(), log: silentLogger },
      health: () => ({ engineReady: true, reason: "", synced: true, ageMs: 0 }),
    });
  const scrape = (
    port: number | undefined,
    as?: Certificate,
  ): Promise<{ text: string; server: string }> =>
    new Promise((resolve, reject) => {
      const own =
        as === undefined ? {} : { cert: readFileSync(as.certFile), key: readFileSync(as.keyFile) };
      const ca = readFileSync(authority.certFile);
      const options = { host: "127.0.0.1", port, path: "/metrics", ca, agent: false, ...own };
      request(options, (response) => {
        const { socket } = response;
        const server =
          socket instanceof TLSSocket ? socket.getPeerCertificate().serialNumber : "no TLS";
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve({ text, server }));
      })
        .on("error", reject)
        .end();
    });
  const outcome = async (of: Promise<unknown>): Promise<string> =>
    await of.then(
      () => "fine",
      (error: unknown) => (error as Error).message,
    );

  it("are for clients with a certificate of the authority, and for nobody else", async () => {
    const server = await serve("0.0.0.0:0", tls);
    try {
      expect((await scrape(server.port, client)).text).to.include("dockline_build_info");
      expect(await outcome(scrape(server.port))).to.not.equal("fine");
      expect(await outcome(scrape(server.port, stranger))).to.not.equal("fine");
      const plain = await new Promise<string>((resolve) => {
        let answer = "";
        const socket = connect({ host: "127.0.0.1", port: server.port ?? 0 });
        socket.on("data", (chunk) => (answer += chunk.toString("latin1")));
        socket.on("error", () => undefined);
        socket.on("close", () => resolve(answer));
        socket.end("GET /metrics HTTP/1.0\r\n\r\n");
      });
      expect(plain).to.not.include("dockline");
    } finally {
      await server.close();
    }
  });

  it("have a certificate that is replaced in their run, and stay where the new one is broken", async () => {
    const served = { ...of("first", authority), clientCaFile: authority.certFile };
    const server = await serve("127.0.0.1:0", served);
    try {
      const { server: first } = await scrape(server.port, client);
      const next = of("second", authority);
      renameSync(next.keyFile, served.keyFile);
      // The key is there and its certificate not yet.
      expect((await scrape(server.port, client)).server).to.equal(first);
      renameSync(next.certFile, served.certFile);
      expect((await scrape(server.port, client)).server).to.not.equal(first);
    } finally {
      await server.close();
    }
  });

  it("are refused half of the files, files that are not there or empty, and a unix socket", async () => {
    const emptyFile = folder.path("empty.crt");
    writeFileSync(emptyFile, "");
    for (const [address, given, said] of [
      ["0.0.0.0:0", { ...tls, clientCaFile: "" }, /belong together/],
      ["127.0.0.1:0", { ...tls, keyFile: "" }, /belong together/],
      ["127.0.0.1:0", { ...tls, keyFile: "/none" }, /metrics key: .*\/none/],
      // Node would take it for no authority at all, and the clients of every public one with it.
      [
        "127.0.0.1:0",
        { ...tls, clientCaFile: emptyFile },
        /metrics client authority: .* has no PEM/,
      ],
      [`unix://${folder.path("m.sock")}`, tls, /a unix socket takes no certificates/],
      ["nonsense", tls, /want 127\.0\.0\.1:port/],
    ] as const) {
      expect(await outcome(serve(address, given))).to.match(said);
    }
  });
});
