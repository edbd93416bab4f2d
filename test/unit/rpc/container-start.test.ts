import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import type { CallContext } from "../../../src/cri/bind.ts";
import { StartContainerRequestSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import { noHooks } from "../../../src/pods/hooks.ts";
import { containerStart } from "../../../src/rpc/container-start.ts";
import { KeyedMutex } from "../../../src/sys/mutex.ts";

/** What plugins are informed of by one start, with one there before it or from the moment of Docker's start on. */
async function informedBy(
  at: { before: boolean; during: boolean },
  running = false,
): Promise<string[]> {
  const informed: string[] = [];
  const identity = { kind: "container", runtimeHandler: "runc", logPath: "", extra: {} };
  const container = { id: "c", name: "n", identity, state: { Running: running } };
  const hooks = {
    ...noHooks,
    active: at.before,
    containerStart: async (_: string, start: () => Promise<void>) => {
      informed.push("start");
      await start();
      informed.push("started");
    },
    containerStarted: () => Promise.resolve(void informed.push("started late")),
  };
  const deps = {
    hooks,
    log: silentLogger,
    locks: new KeyedMutex(),
    index: { find: () => Promise.resolve(container), peek: () => undefined },
    resources: { get: () => undefined },
    owedLimits: {
      startWith: () => {
        informed.push("docker");
        hooks.active = at.during;
        return Promise.resolve();
      },
    },
  };
  const request = create(StartContainerRequestSchema, { containerId: "c" });
  const context = { signal: new AbortController().signal } as CallContext;
  await containerStart(deps as never).startContainer?.(request, context);
  return informed;
}

describe("StartContainer", () => {
  it("informs plugins around the start, and one that joins during it afterwards", async () => {
    const nobody = { before: false, during: false };
    expect(await informedBy(nobody)).to.deep.equal(["docker"]);
    const before = { before: true, during: true };
    expect(await informedBy(before)).to.deep.equal(["start", "docker", "started"]);
    const during = { before: false, during: true };
    expect(await informedBy(during)).to.deep.equal(["docker", "started late"]);
    expect(await informedBy(during, true), "it runs already").to.deep.equal(["docker"]);
  });
});
