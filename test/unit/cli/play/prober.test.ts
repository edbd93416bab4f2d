import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { prober } from "../../../../src/cli/play/prober.ts";
import { ExecSyncResponseSchema } from "../../../../src/gen/runtime/v1/api_pb.js";
import { callError } from "../../../support/fake-cri.ts";

describe("a probe of dockline play", () => {
  const target = { containerId: "x", address: "127.0.0.1", timeoutMs: 5000 };
  const exec = (answer: () => Promise<{ exitCode: number; stderr?: string }>) =>
    prober({
      execSync: async () => {
        const { exitCode, stderr = "" } = await answer();
        return create(ExecSyncResponseSchema, { exitCode, stderr: Buffer.from(stderr) });
      },
    });
  const unused = prober({ execSync: () => Promise.reject(new Error("unused")) });

  describe("by HTTP and TCP", () => {
    let server: Server;
    let port = 0;
    const asked: string[] = [];
    before(async () => {
      server = createServer((request, response) => {
        asked.push(`${request.url ?? ""} ${request.headers["x-a"]?.toString() ?? ""}`);
        if (request.url === "/slow") return;
        const [, code = "200", to] = /^\/(\d+)(?:\?(.*))?$/.exec(request.url ?? "") ?? [];
        response.writeHead(Number(code), to === undefined ? {} : { Location: to });
        response.end("a body");
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      ({ port } = server.address() as AddressInfo);
    });
    after(() => {
      server.closeAllConnections();
      server.close();
    });
    const http = (path: string, timeoutMs = 5000) =>
      unused(
        { kind: "http", scheme: "HTTP", host: "", port, path, headers: { "X-A": "b" } },
        { ...target, timeoutMs },
      );

    it("succeeds from 200 to 399, follows redirects on the same host, sends the headers", async () => {
      expect((await http("/204")).outcome).to.equal("success");
      expect(await http("/500")).to.deep.equal({
        outcome: "failure",
        text: `http://127.0.0.1:${port}/500 answers with 500`,
      });
      expect((await http("/302?/200")).outcome).to.equal("success");
      expect((await http("/302?/503")).outcome).to.equal("failure");
      expect((await http("/302?http://elsewhere.invalid/")).outcome).to.equal("success");
      expect((await http("/302")).outcome).to.equal("success");
      expect(asked).to.include("/204 b");
    });

    it("fails when nothing answers in time, or nobody listens", async () => {
      expect((await http("/slow", 50)).text).to.contain("no answer in time");
      const tcp = { kind: "tcp", host: "", port } as const;
      expect((await unused(tcp, target)).outcome).to.equal("success");
      const closed = await unused({ ...tcp, port: 1 }, target);
      expect(closed.outcome).to.equal("failure");
      expect(closed.text).to.contain("connection refused");
    });
  });

  it("by a command fails with its code and words, or when it takes too long", async () => {
    const command = { kind: "exec", command: ["check"] } as const;
    const action = { ...command, command: [...command.command] };
    expect((await exec(() => Promise.resolve({ exitCode: 0 }))(action, target)).outcome).to.equal(
      "success",
    );
    expect(
      await exec(() => Promise.resolve({ exitCode: 2, stderr: "no\n" }))(action, target),
    ).to.deep.equal({ outcome: "failure", text: "check ended with 2: no" });
    const late = exec(() => Promise.reject(callError(4, "timed out")));
    expect((await late(action, target)).text).to.equal("check took longer than 5 s");
    // Of a server that is away nothing follows for the container.
    const away = exec(() => Promise.reject(callError(14, "away")));
    expect((await away(action, target)).outcome).to.equal("unknown");
  });
});
