import { chmodSync, existsSync, linkSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { status as GrpcCode } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { expect } from "chai";
import { Encoded, bindService } from "../../../src/cri/bind.ts";
import type { CallContext, Handlers } from "../../../src/cri/bind.ts";
import { connect, serviceClient } from "../../../src/cri/client.ts";
import type { Connection, ServiceClient } from "../../../src/cri/client.ts";
import { createGrpcServer, listen, unixPath } from "../../../src/cri/listener.ts";
import type { Listener } from "../../../src/cri/listener.ts";
import { createObserver } from "../../../src/cri/observe.ts";
import { CriError } from "../../../src/errors.ts";
import { RuntimeService } from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

interface Rig {
  runtime: ServiceClient<typeof RuntimeService>;
  listener: Listener;
  inFlight: () => number;
}

describe("serving", () => {
  let folder: ReturnType<typeof tempFolder>;
  const open: (Listener | Connection)[] = [];

  beforeEach(() => {
    folder = tempFolder();
  });
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close(0);
    folder.remove();
  });

  const endpoint = (): string => `unix://${folder.path("s.sock")}`;
  const told: { rpc: string; code: string }[] = [];
  const logged: object[] = [];
  const serve = async (handlers: Handlers<typeof RuntimeService>): Promise<Rig> => {
    const server = createGrpcServer();
    told.length = 0;
    logged.length = 0;
    const log = { ...silentLogger, error: (fields: object) => logged.push(fields) };
    const { observe, inFlight } = createObserver({
      log,
      onCall: ({ rpc, code }) => told.push({ rpc, code }),
    });
    const bound = bindService(RuntimeService, handlers, { log: silentLogger, observe });
    server.addService(bound.definition, bound.implementation);
    const listener = await listen(server, endpoint(), inFlight);
    const connection = connect(endpoint());
    open.push(connection, listener);
    return { runtime: serviceClient(connection, RuntimeService), listener, inFlight };
  };
  const failure = async (work: Promise<unknown>): Promise<{ code: string; details: string }> => {
    const error = (await work.catch((reason: unknown) => reason)) as ServiceError;
    return { code: GrpcCode[error.code], details: error.details };
  };

  it("answers what is not there, what throws, what rejects, and lives", async () => {
    const { runtime } = await serve({
      version: () => {
        throw new CriError("NotFound", "thrown");
      },
      status: () => Promise.reject(new TypeError("rejected")),
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- anything may come
      runtimeConfig: () => Promise.reject(undefined),
      listContainers: () => Promise.resolve({ containers: [7] } as never),
    });
    expect(await failure(runtime.version({}))).to.deep.equal({
      code: "NOT_FOUND",
      details: "thrown",
    });
    expect(await failure(runtime.status({}))).to.deep.equal({
      code: "INTERNAL",
      details: "Status: rejected",
    });
    expect((await failure(runtime.runtimeConfig({}))).code).to.equal("INTERNAL");
    expect((await failure(runtime.listContainers({}))).code).to.equal("INTERNAL");
    expect(await failure(runtime.listPodSandbox({}))).to.deep.equal({
      code: "UNIMPLEMENTED",
      details: "ListPodSandbox is not implemented",
    });
  });

  it("counts an answer that cannot be encoded as an error: log, metrics and caller agree", async () => {
    const { runtime } = await serve({
      listContainers: () => Promise.resolve({ containers: [7] } as never),
      // eslint-disable-next-line @typescript-eslint/require-await -- the interface is that of a stream
      streamContainers: async function* () {
        yield { containers: [7] } as never;
      },
    });
    const failed = await failure(runtime.listContainers({}));
    expect(failed.code).to.equal("INTERNAL");
    expect(failed.details).to.match(/^ListContainers: /);
    expect(told).to.deep.equal([{ rpc: "ListContainers", code: "INTERNAL" }]);
    expect(logged).to.have.length(1);
    expect(logged[0]).to.include({ rpc: "ListContainers", code: "INTERNAL" });
  });

  it("sends details whose cut falls into a pair of surrogates", async () => {
    const { runtime } = await serve({
      version: () => {
        throw new CriError("NotFound", `x${"😀".repeat(3000)}`);
      },
    });
    const failed = await failure(runtime.version({}));
    expect(failed.code).to.equal("NOT_FOUND");
    expect(failed.details).to.match(/\.\.\.$/);
  });

  it("sends bytes that are ready as they are", async () => {
    const { runtime } = await serve({
      version: () => Promise.resolve(new Encoded(new Uint8Array([10, 1, 120]))),
    });
    expect((await runtime.version({})).version).to.equal("x");
  });

  it("tells a handler that its caller gave up, and why", async () => {
    const contexts: CallContext[] = [];
    const { runtime, inFlight } = await serve({
      version: (_request, context) => {
        contexts.push(context);
        return new Promise((_resolve, reject) =>
          context.signal.addEventListener("abort", () => reject(context.signal.reason as Error)),
        );
      },
    });
    expect((await failure(runtime.version({}, { timeoutMs: 200 }))).code).to.equal(
      "DEADLINE_EXCEEDED",
    );
    await until(() => contexts[0]?.signal.aborted === true && inFlight() === 0);
    expect(contexts[0]?.signal.reason).to.include({ kind: "DeadlineExceeded" });
    await until(() => contexts[0]?.remainingMs() === 0);
  });

  for (const stepMs of [-3_600_000, 3_600_000]) {
    it(`keeps a call's deadline when the wall clock is set by ${stepMs} ms`, async () => {
      const contexts: CallContext[] = [];
      const { runtime } = await serve({
        version: (_request, context) => {
          contexts.push(context);
          return new Promise((_resolve, reject) =>
            context.signal.addEventListener("abort", () => reject(context.signal.reason as Error)),
          );
        },
      });
      const controller = new AbortController();
      const call = failure(runtime.version({}, { timeoutMs: 5_000, signal: controller.signal }));
      await until(() => contexts.length === 1);
      const { now } = Date;
      Date.now = () => now() + stepMs;
      try {
        expect(contexts[0]?.remainingMs()).to.be.within(1, 5_000);
        controller.abort();
        await until(() => contexts[0]?.signal.aborted === true);
        expect(contexts[0]?.signal.reason).to.include({ kind: "Cancelled" });
      } finally {
        Date.now = now;
      }
      await call;
    });
  }

  it("answers beside hundreds of calls that wait, on one connection", async () => {
    const end = new AbortController();
    const { runtime, inFlight } = await serve({
      stopContainer: () =>
        new Promise((resolve) => end.signal.addEventListener("abort", () => resolve({}))),
      version: () => Promise.resolve({ version: "x" }),
    });
    const stops = Array.from({ length: 1000 }, () => runtime.stopContainer({ containerId: "c" }));
    await until(() => inFlight() === 1000);
    const { version } = await runtime.version({}, { timeoutMs: 1_000 });
    expect(version).to.equal("x");
    end.abort();
    await Promise.all(stops);
  });

  it("has a socket for root only, which replaces a stale one and goes when closed", async () => {
    const { listener, runtime } = await serve({ version: () => Promise.resolve({}) });
    const path = folder.path("s.sock");
    expect(statSync(path).mode & 0o777).to.equal(0o660);
    await runtime.version({});
    await listener.close(0);
    expect(existsSync(path)).to.equal(false);
    // A socket file whose process was killed.
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(folder.path("dead.sock"), resolve));
    linkSync(folder.path("dead.sock"), path);
    await new Promise((resolve) => dead.close(resolve));
    expect(existsSync(path)).to.equal(true);
    const again = (await serve({ version: () => Promise.resolve({}) })).runtime;
    // The client's side still gets over the connection that was cut.
    await until(() =>
      again.version({}).then(
        () => true,
        () => false,
      ),
    );
  });

  it("refuses a second instance, a plain file, and a folder that everybody may write", async () => {
    const first = await serve({ version: () => Promise.resolve({}) });
    const again = (at: string) =>
      listen(createGrpcServer(), at, () => 0).then(
        () => "listens",
        (error: unknown) => String(error),
      );
    expect(await again(endpoint())).to.include("another instance is serving");
    await first.runtime.version({});
    writeFileSync(folder.path("file"), "");
    expect(await again(`unix://${folder.path("file")}`)).to.include("is not a socket");
    mkdirSync(folder.path("open"));
    chmodSync(folder.path("open"), 0o777);
    expect(await again(`unix://${folder.path("open/s.sock")}`)).to.include("writable by everybody");
    expect(await again("fd://")).to.include("no socket was passed");
  });

  it("lets running calls end when it closes, and cuts those that don't", async () => {
    let answer: () => void = () => undefined;
    const { runtime, listener, inFlight } = await serve({
      version: () => new Promise((resolve) => (answer = () => resolve({ version: "late" }))),
      status: () => new Promise(() => undefined),
    });
    const late = runtime.version({});
    const never = failure(runtime.status({}));
    await until(() => inFlight() === 2);
    const closed = listener.close(300);
    setTimeout(() => answer(), 50);
    expect((await late).version).to.equal("late");
    expect((await never).code).to.be.oneOf(["UNAVAILABLE", "CANCELLED"]);
    await closed;
  });

  it("takes endpoints of two forms and refuses others", () => {
    expect(unixPath("unix:///run/x.sock")).to.equal("/run/x.sock");
    expect(unixPath("/run/x.sock")).to.equal("/run/x.sock");
    for (const bad of ["tcp://127.0.0.1:1", "unix://x.sock", "", "unix:///a\0b", "@x"]) {
      expect(() => unixPath(bad), bad).to.throw("want unix:///absolute/path");
    }
  });
});
