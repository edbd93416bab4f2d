import { expect } from "chai";
import type { CallContext } from "../../../src/cri/bind.ts";
import { kindOf } from "../../../src/cri/status.ts";
import { EngineError } from "../../../src/engine/errors.ts";
import { containerStop } from "../../../src/rpc/container-stop.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { noHooks } from "../../../src/pods/hooks.ts";
import type { PodDeps } from "../../../src/pods/deps.ts";

interface Known {
  Running: boolean;
  dirty: boolean;
}

/** StopContainer of a container of which that much is known, before and after the request. */
async function stop(before: Known, after: Known, answer: () => Promise<boolean>) {
  let asked = 0;
  const entries = [before, after].map(({ Running, dirty }) => ({
    id: "c",
    dirty,
    state: { Running, Paused: false },
  }));
  const deps = {
    hooks: noHooks,
    index: {
      find: (_kind: string, _id: string, options?: { fresh?: boolean }) =>
        Promise.resolve(entries[options?.fresh === true ? 1 : 0]),
      peek: () => undefined,
      touched: () => undefined,
      removed: () => undefined,
    },
    clock: systemClock,
    engine: {
      stopContainer: () => {
        asked += 1;
        return answer();
      },
    },
  } as unknown as PodDeps;
  const { stopContainer } = containerStop(deps);
  const request = { containerId: "c", timeout: 1n } as never;
  const code = await stopContainer?.(request, {} as CallContext).then(
    () => "OK",
    (error: unknown) => kindOf(error),
  );
  return { code, asked };
}

describe("StopContainer with an engine that is slow", () => {
  const slow = () =>
    Promise.reject(new EngineError({ failure: "timeout", operation: "stop", message: "slow" }));
  const ended = { Running: false, dirty: false };
  const unsure = { Running: false, dirty: true };
  const running = { Running: true, dirty: false };

  it("asks the engine unless the container is known to have ended", async () => {
    const already = () => Promise.resolve(false);
    expect(await stop(ended, ended, already)).to.deep.equal({ code: "OK", asked: 0 });
    expect(await stop(unsure, ended, already)).to.deep.equal({ code: "OK", asked: 1 });
  });

  it("is OK after a lost answer only where the container is known to have ended", async () => {
    expect((await stop(running, ended, slow)).code).to.equal("OK");
    expect((await stop(running, running, slow)).code).to.equal("Unavailable");
    expect((await stop(running, unsure, slow)).code).to.equal("Unavailable");
  });
});
