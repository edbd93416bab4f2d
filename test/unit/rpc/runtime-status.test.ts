import { expect } from "chai";
import { runtimeStatus, type StatusDeps } from "../../../src/rpc/runtime-status.ts";

describe("an engine in rootless mode", () => {
  const handlersOf = (SecurityOptions: string[]) => {
    const info = { SecurityOptions, CgroupDriver: "systemd", Runtimes: {}, DefaultRuntime: "runc" };
    const self = { info, version: { Version: "1" }, apiMinor: 41 };
    let isAsked = false;
    const ready = { engineReady: true, reason: "" };
    return runtimeStatus({
      index: { health: ready, counters: {} },
      info: {
        stale: true,
        peek: () => (isAsked ? self : undefined),
        get: () => Promise.resolve(((isAsked = true), self)),
      },
      network: { status: () => Promise.resolve({ ready: true, message: "" }) },
      forwardPolicy: () => Promise.resolve({ message: "" }),
      featuresKnown: () => Promise.resolve(),
      handlerFeatures: () => ({ recursiveReadOnlyMounts: false, userNamespaces: false }),
      mountOptions: () => false,
      verboseInfo: () => ({}),
      hungLogs: () => [],
      keptEngine: {
        current: undefined,
        keep: (words: unknown) => Promise.resolve(kept.push(words)),
      },
      clock: { monotonicMs: () => 0, sleep: () => new Promise(() => undefined) },
    } as unknown as StatusDeps);
  };
  let kept: unknown[];
  beforeEach(() => (kept = []));
  const ask = async (SecurityOptions: string[]) => {
    const handlers = handlersOf(SecurityOptions);
    const context = { signal: new AbortController().signal } as never;
    const status = (await handlers.status?.({} as never, context)) as {
      status: { conditions: { type: string; status: boolean; reason: string; message: string }[] };
    };
    const config = await Promise.resolve(handlers.runtimeConfig?.({} as never, context)).then(
      () => undefined,
      (error: unknown) => error,
    );
    return { condition: status.status.conditions[0], config };
  };

  it("makes the runtime not ready, and says why to everybody who asks", async () => {
    const { condition, config } = await ask(["name=seccomp,profile=builtin", "name=rootless"]);
    expect(condition).to.include({ status: false, reason: "DockerIsRootless" });
    expect(condition?.message).to.include("rootless mode");
    expect(config).to.include({ kind: "FailedPrecondition" });
  });

  it("is told from others", async () => {
    const { condition, config } = await ask(["name=seccomp,profile=rootless"]);
    expect(condition).to.include({ status: true, reason: "" });
    expect(config).to.equal(undefined);
  });

  it("has its words kept before a kubelet is answered, for one that starts before Docker later", async () => {
    await ask([]);
    expect(kept).to.deep.equal([{ version: "1", apiVersion: "1.41", cgroupDriver: "systemd" }]);
  });
});

describe("UpdateRuntimeConfig", () => {
  it("runs CNI GC for `dockline release --gc`, and for nobody else", async () => {
    let runs = 0;
    const handlers = runtimeStatus({
      networkGc: { run: () => Promise.resolve(void (runs += 1)) },
    } as unknown as StatusDeps);
    const ask = async (value: string | undefined): Promise<void> => {
      const metadata = (key: string) => (key === "dockline-network-gc" ? value : undefined);
      await handlers.updateRuntimeConfig?.({} as never, { metadata } as never);
    };
    await ask(undefined);
    expect(runs).to.equal(0);
    await ask("true");
    expect(runs).to.equal(1);
  });
});
