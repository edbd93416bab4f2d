import { expect } from "chai";
import type { CallContext } from "../../../src/cri/bind.ts";
import { createObserver } from "../../../src/cri/observe.ts";
import { CriError, notFound } from "../../../src/errors.ts";
import type { CallTarget } from "../../../src/sys/call-trace.ts";
import { silentLogger } from "../../../src/log.ts";

const id = "c".repeat(64);

describe("the line of a call", () => {
  const lines: ({ level: string } & Record<string, unknown>)[] = [];
  let debugs = true;
  const at =
    (level: string) =>
    (fields: object, msg: string): void => {
      lines.push({ level, msg, ...fields });
    };
  const log = {
    ...silentLogger,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    get debugs() {
      return debugs;
    },
  };
  let known: CallTarget = {};
  const { observe } = createObserver({
    log,
    name: (target) => Object.assign(target, { ...known, ...target }),
  });
  const context = { metadata: () => undefined } as unknown as CallContext;

  beforeEach(() => {
    lines.length = 0;
    debugs = true;
    known = { podName: "web", namespace: "shop", podId: "p".repeat(64), containerName: "nginx" };
  });

  const call = async (rpc: string, request: object, work: () => unknown): Promise<void> => {
    const observed = { rpc, service: "runtime.v1.RuntimeService", request, context };
    await observe(observed, () => Promise.resolve().then(work)).catch(() => undefined);
  };
  const fail = (error: Error) => (): never => {
    throw error;
  };

  it("has pod, namespace, container and full ids, also of what the call itself removes", async () => {
    await call("RemoveContainer", { containerId: id }, () => {
      known = {};
      return {};
    });
    expect(lines).to.have.length(1);
    expect(lines[0]).to.include({ level: "info", msg: "call", rpc: "RemoveContainer" });
    expect(lines[0]).to.include({ pod: "web", namespace: "shop", container: "nginx" });
    expect(lines[0]).to.include({ podId: "p".repeat(64), containerId: id });
  });

  it("has the ids that only the answer tells, and the image", async () => {
    known = {};
    const config = { metadata: { name: "nginx" }, image: {} };
    const sandboxConfig = { metadata: { name: "web", namespace: "shop" } };
    await call("CreateContainer", { podSandboxId: "p", config, sandboxConfig }, () => ({
      containerId: id,
    }));
    expect(lines[0]).to.include({ pod: "web", container: "nginx", podId: "p", containerId: id });
    await call("PullImage", { image: { image: "busybox:1" } }, () => ({}));
    expect(lines[1]).to.include({ rpc: "PullImage", image: "busybox:1" });
  });

  it("is a debug line for a status of what is gone, and a warning for a change of it", async () => {
    await call("ContainerStatus", { containerId: id }, fail(notFound("no container")));
    await call("PodSandboxStatus", { podSandboxId: id }, fail(notFound("no pod")));
    await call("StartContainer", { containerId: id }, fail(notFound("no container")));
    expect(lines.map(({ level }) => level)).to.deep.equal(["debug", "debug", "warn"]);
    expect(lines[0]).to.include({ code: "NOT_FOUND", error: "no container", msg: "call failed" });
  });

  it("is a warning for what the caller did wrong, and an error with its stack for a defect", async () => {
    await call("ContainerStatus", {}, fail(new CriError("InvalidArgument", "no id")));
    await call("StopContainer", {}, fail(new CriError("Cancelled", "gone")));
    await call("ContainerStatus", {}, fail(new TypeError("x is undefined")));
    expect(lines.map(({ level }) => level)).to.deep.equal(["warn", "debug", "error"]);
    expect(lines.map((line) => "err" in line)).to.deep.equal([false, false, true]);
  });

  it("costs nothing for reads that nobody wants to see", async () => {
    debugs = false;
    let asked = false;
    known = new Proxy(known, {
      ownKeys: (target) => {
        asked = true;
        return Reflect.ownKeys(target);
      },
    });
    await call("ContainerStatus", { containerId: id }, () => ({}));
    expect([lines.length, asked]).to.deep.equal([0, false]);
  });
});
