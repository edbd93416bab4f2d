import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import type { EngineError } from "../../../src/engine/errors.ts";
import { failureOf } from "../../support/engine-failure.ts";
import { rawEngines } from "../../support/raw-engine.ts";
import { httpAnswer } from "../../support/raw-server.ts";

describe("streams of servers that misbehave", () => {
  const start = rawEngines();

  it("says how a pull failed inside its stream, and that a stream broke off", async () => {
    const line =
      '{"errorDetail":{"message":"toomanyrequests: https://u:p@r/x?sig=1"},"error":"x"}\r\n';
    const pulling = async (body: string, length: number): Promise<[EngineError, unknown[]]> => {
      const { engine } = await start((socket) => {
        socket.end(
          `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${body}`,
        );
      });
      const seen: unknown[] = [];
      const error = await failureOf(
        (async () => {
          for await (const p of engine.pullImage({ repository: "a", tagOrDigest: "b" }))
            seen.push(p);
        })(),
      );
      return [error, seen];
    };
    const body = `{"status":"Pulling"}\r\n${line}`;
    const [failed, seen] = await pulling(body, body.length);
    expect([failed.failure, failed.status, seen.length]).to.deep.equal(["status", 500, 1]);
    expect(failed.message).to.equal("pull image: toomanyrequests: https://***@r/x?***");
    const [broken] = await pulling('{"status":"Pulling"}\r\n', 500);
    expect(broken.failure).to.equal("unreachable");
    const [odd] = await pulling("<html>\n", 7);
    expect(odd.failure).to.equal("protocol");
    const [long] = await pulling("x".repeat(2 << 20), 2 << 20);
    expect(long.failure).to.equal("protocol");
  });

  it("ends an upload that the engine refuses half-way", async () => {
    const { engine } = await start((socket, head) => {
      if (head.startsWith("POST")) socket.end(httpAnswer(500, '{"message":"no space left"}'));
    });
    const endless = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(65_536);
      })(),
    );
    const error = await failureOf(engine.loadImage(endless));
    expect(error.failure).to.be.oneOf(["status", "unreachable"]);
    expect(endless.destroyed).to.equal(true);
  });

  it("passes raw connections both ways with half-close, first bytes included", async () => {
    const { engine } = await start((socket) => {
      socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst ");
      socket.removeAllListeners("data");
      socket.removeAllListeners("end");
      socket.on("data", (chunk) => socket.write(`[${String(chunk)}]`));
      socket.on("end", () => socket.end(" last"));
    });
    const stream = await engine.startExec("0f", false);
    stream.write("abc");
    await sleep(20);
    stream.end();
    expect(String(await buffer(stream))).to.equal("first [abc] last");
  });

  it("refuses a plain answer where a raw connection was asked for", async () => {
    const { engine } = await start((socket) => socket.write(httpAnswer(200, "text")));
    expect((await failureOf(engine.startExec("0f", false))).failure).to.equal("protocol");
  });

  it("is not thrown over by a hijacked connection that breaks without a listener", async () => {
    const { engine } = await start((socket) => {
      socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
      setTimeout(() => socket.destroy(), 10);
    });
    const stream = await engine.startExec("0f", false);
    await new Promise((resolve) => stream.once("close", resolve));
  });
});
