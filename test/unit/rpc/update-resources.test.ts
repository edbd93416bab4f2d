import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { encodeContainerSpec } from "../../../src/convert/stored-spec.ts";
import type { CallContext } from "../../../src/cri/bind.ts";
import { kindOf } from "../../../src/cri/status.ts";
import {
  ContainerConfigSchema,
  UpdateContainerResourcesRequestSchema,
} from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import { updateResources } from "../../../src/rpc/update-resources.ts";
import type { UpdateDeps } from "../../../src/rpc/update-resources.ts";
import { noHooks } from "../../../src/pods/hooks.ts";
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
    hooks: noHooks,
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

/** The same of a running container whose runtime has its processes in no cgroup of the container. */
async function updateElsewhere(runtimeHandler: string, started: object, linux: object) {
  const id = "ab".repeat(32);
  const config = create(ContainerConfigSchema, { linux: { resources: started as never } });
  const times = { ExitCode: 0, Error: "", StartedAt: "", FinishedAt: "" };
  const state = { ...times, Status: "running", Running: true, Pid: process.pid };
  const extra = { spec: encodeContainerSpec(config, false) };
  const entry = {
    ...{ id, name: "c", kind: "container", dirty: false, state },
    identity: { kind: "container", legacy: false, runtimeHandler, extra },
  };
  let saved = 0;
  const deps = {
    index: { find: () => Promise.resolve(entry), touched: () => undefined },
    clock: { monotonicMs: () => 0, sleep: () => Promise.resolve() },
    engine: { updateContainer: () => Promise.resolve() },
    facts: () => Promise.resolve(modern),
    locks: new KeyedMutex(),
    hooks: noHooks,
    log: silentLogger,
    resources: { get: () => undefined, save: () => Promise.resolve(void (saved += 1)) },
    owedLimits: { changeWith: (_id: string, change: () => Promise<void>) => change() },
  } as unknown as UpdateDeps;
  const { updateContainerResources } = updateResources(deps);
  const request = create(UpdateContainerResourcesRequestSchema, {
    containerId: id,
    linux: linux as never,
  });
  const { signal } = new AbortController();
  const outcome = await updateContainerResources?.(request, { signal } as CallContext).then(
    () => "OK",
    (error: unknown) => `${kindOf(error)}: ${String(error)}`,
  );
  return { outcome, saved };
}

describe("UpdateContainerResources of a runtime without cgroups of the container's own", () => {
  const oomGroup = { unified: { "memory.oom.group": "1" } };

  it("is FAILED_PRECONDITION with the file that only Dockline could write", async () => {
    const { outcome, saved } = await updateElsewhere("runsc", oomGroup, {
      cpuShares: 512n,
      unified: { "memory.oom.group": "1", "memory.high": "1048576" },
    });
    expect(outcome).to.match(/^FailedPrecondition: .*: memory\.high cannot be set to 1048576: /);
    expect(saved, "it is not in force").to.equal(0);
  });

  it("changes what Docker can set although the rest of what the start asked for is sent again", async () => {
    const again = { cpuShares: 512n, ...oomGroup };
    expect(await updateElsewhere("runsc", oomGroup, again)).to.deep.equal({
      outcome: "OK",
      saved: 1,
    });
  });
});

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
