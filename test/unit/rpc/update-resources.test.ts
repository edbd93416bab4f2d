import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import type { CallContext } from "../../../src/cri/bind.ts";
import { kindOf } from "../../../src/cri/status.ts";
import { UpdateContainerResourcesRequestSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import { updateResources } from "../../../src/rpc/update-resources.ts";
import type { UpdateDeps } from "../../../src/rpc/update-resources.ts";
import { KeyedMutex } from "../../../src/sys/mutex.ts";
import { modern } from "../convert/support.ts";

interface State {
  Status: string;
  Running: boolean;
  Pid: number;
}

/** An UpdateContainerResources that only Dockline can carry out, of a container that is known so. */
async function update(before: State & { dirty: boolean }, later: State) {
  let nowMs = 0;
  let saved = 0;
  let owed = 0;
  const { dirty, ...state } = before;
  const times = { ExitCode: 0, Error: "", StartedAt: "", FinishedAt: "" };
  const entry = (found: State, isDirty: boolean) => ({
    ...{ id: "c", name: "c", kind: "container", dirty: isDirty, state: { ...times, ...found } },
    identity: { kind: "container", runtimeHandler: "", extra: {} },
  });
  const deps = {
    index: {
      find: (_kind: string, _id: string, options?: { fresh?: boolean }) =>
        Promise.resolve(options?.fresh === true ? entry(later, false) : entry(state, dirty)),
      touched: () => undefined,
    },
    clock: {
      monotonicMs: () => nowMs,
      sleep: (ms: number) => {
        nowMs += ms;
        return Promise.resolve();
      },
    },
    facts: () => Promise.resolve(modern),
    locks: new KeyedMutex(),
    log: silentLogger,
    resources: {
      get: () => undefined,
      save: () => {
        saved += 1;
        return Promise.resolve();
      },
    },
    owedLimits: {
      changeWith: async (_id: string, change: () => Promise<void>) => {
        owed += 1;
        await change();
      },
    },
  } as unknown as UpdateDeps;
  const request = create(UpdateContainerResourcesRequestSchema, {
    containerId: "c",
    linux: { oomScoreAdj: 500n },
  });
  const { updateContainerResources } = updateResources(deps);
  const outcome = await updateContainerResources?.(request, {
    signal: new AbortController().signal,
  } as CallContext).then(
    () => "OK",
    (error: unknown) => kindOf(error),
  );
  expect(owed, "owed before anything changes").to.equal(1);
  return { outcome, saved };
}

describe("UpdateContainerResources of what Docker has no field for", () => {
  const unknownPid = { Status: "running", Running: true, Pid: 0 };
  const created = { Status: "created", Running: false, Pid: 0 };

  it("is UNAVAILABLE, and nothing counts as in force, while Docker does not say which process runs", async () => {
    const nothing = { outcome: "Unavailable", saved: 0 };
    expect(await update({ ...unknownPid, dirty: true }, unknownPid)).to.deep.equal(nothing);
    expect(await update({ ...created, dirty: true }, unknownPid)).to.deep.equal(nothing);
  });

  it("waits for the start of a container that was not started", async () => {
    const kept = { outcome: "OK", saved: 1 };
    expect(await update({ ...created, dirty: false }, created)).to.deep.equal(kept);
    expect(await update({ ...created, dirty: true }, created)).to.deep.equal(kept);
  });
});
