import { expect } from "chai";
import { create } from "@bufbuild/protobuf";
import { OwedLimits } from "../../../src/containers/owed-limits.ts";
import { EngineError } from "../../../src/engine/errors.ts";
import { CriError } from "../../../src/errors.ts";
import { encodeContainerSpec } from "../../../src/convert/stored-spec.ts";
import { ContainerConfigSchema } from "../../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../../src/log.ts";
import { OwedEffects } from "../../../src/state/owed-effects.ts";
import { KeyedMutex } from "../../../src/sys/mutex.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";
import { modern } from "../convert/support.ts";

const id = "ab".repeat(32);
/** As a kubelet sends it for each container of a node that has huge pages. */
const noHugePages = { hugepageLimits: [{ pageSize: "2MB", limit: 0n }] };

/** A container on a node where nothing can be written: this very process, in no container's cgroup. */
function scene(
  folder: string,
  limits: object = { hugepageLimits: [{ pageSize: "2MB", limit: 1n }] },
) {
  const state = {
    ...{ Status: "created", Running: false, Pid: 0, ExitCode: 0, OOMKilled: false },
    ...{ StartedAt: "", FinishedAt: "", Error: "" },
  };
  const spec = encodeContainerSpec(
    create(ContainerConfigSchema, { linux: { resources: limits as never } }),
    false,
  );
  const entry = {
    ...{ id, name: "k8s_a", kind: "container", state, inspect: undefined, dirty: false },
    identity: { kind: "container", runtimeHandler: "", legacy: false, extra: { spec } },
  };
  const owed = OwedEffects.open(folder, silentLogger);
  const seen = {
    ...{ kills: 0, answers: true, nowMs: 0, there: true },
    /** What the engine fails with when it is asked for the container, and how often it was. */
    ...{ trouble: undefined as Error | undefined, finds: 0, said: [] as string[] },
  };
  const run = (): void => {
    Object.assign(state, { Status: "running", Running: true, Pid: process.pid });
  };
  const limitsOf = new OwedLimits({
    owed,
    facts: () => Promise.resolve(modern),
    index: {
      peek: () => (seen.there ? entry : undefined),
      find: () => {
        seen.finds += 1;
        return seen.trouble === undefined ? Promise.resolve(entry) : Promise.reject(seen.trouble);
      },
      touched: () => undefined,
    },
    resources: { get: () => undefined },
    engine: {
      killContainer: () => {
        seen.kills += 1;
        if (!seen.answers) return Promise.reject(new Error("away"));
        Object.assign(state, { Status: "exited", Running: false, Pid: 0, ExitCode: 137 });
        return Promise.resolve();
      },
    },
    locks: new KeyedMutex(),
    clock: { monotonicMs: () => seen.nowMs, sleep: () => Promise.resolve() },
    log: { ...silentLogger, info: (_: object, text: string) => void seen.said.push(text) },
  } as never);
  return { limitsOf, entry: entry as never, owed, seen, state, run };
}

describe("limits owed to a container", () => {
  let folder: ReturnType<typeof tempFolder>;
  beforeEach(() => (folder = tempFolder()));
  afterEach(() => folder.remove());
  const noted = (): string[] => [...OwedEffects.open(folder.path(""), silentLogger).limits.keys()];

  it("are none where Docker can set all of them: nothing is noted", async () => {
    const { limitsOf, entry } = scene(folder.path(""), { memoryLimitInBytes: 1n << 30n });
    await limitsOf.startWith(entry, () => {
      expect(noted()).to.deep.equal([]);
      return Promise.resolve();
    });
  });

  it("are on disk before the start", async () => {
    const { limitsOf, entry, run } = scene(folder.path(""));
    const error: unknown = await limitsOf
      .startWith(entry, () => {
        expect(noted()).to.deep.equal([id]);
        run();
        return Promise.resolve();
      })
      .catch((reason: unknown) => reason);
    expect((error as Error).message).to.match(/^start container .*no cgroup of the container/);
    await limitsOf.settle();
    expect(noted(), "it was killed: it is owed nothing").to.deep.equal([]);
  });

  it("end a container that was started by a Dockline that was killed, where they cannot be set", async () => {
    OwedEffects.open(folder.path(""), silentLogger).oweLimits(id, "start");
    const { limitsOf, seen, state, run } = scene(folder.path(""));
    await limitsOf.settle();
    expect(seen.kills, "its start may be on its way").to.equal(0);
    expect(noted()).to.deep.equal([id]);
    run();
    await limitsOf.settle();
    expect([seen.kills, state.Status]).to.deep.equal([1, "exited"]);
    seen.nowMs = 5_000;
    await limitsOf.settle();
    expect(noted()).to.deep.equal([]);
  });

  it("stay owed while neither can be done, and are tried every five seconds", async () => {
    const { limitsOf, entry, owed, seen, run } = scene(folder.path(""));
    seen.answers = false;
    await limitsOf
      .startWith(entry, () => {
        run();
        return Promise.resolve();
      })
      .catch(() => undefined);
    expect(seen.kills).to.equal(1);
    await limitsOf.settle();
    await limitsOf.settle();
    expect(seen.kills, "at once after the call, not each quarter of a second").to.equal(2);
    expect([...owed.limits.keys()]).to.deep.equal([id]);
    seen.answers = true;
    seen.nowMs = 5_000;
    await limitsOf.settle();
    expect(seen.kills).to.equal(3);
  });

  it("of a start stay owed while a plugin's change of them comes and goes", async () => {
    const { limitsOf, entry, owed, state, run } = scene(folder.path(""));
    await limitsOf.startWith(entry, async () => {
      await limitsOf.changeWith(id, () => Promise.resolve());
      expect([...owed.limits]).to.deep.equal([[id, "start"]]);
      run();
      // Ours all the same: the change was not the last at work.
      limitsOf.startedByOthers(entry);
      Object.assign(state, { Status: "exited", Running: false, Pid: 0 });
    });
    expect([...owed.limits]).to.deep.equal([]);
    expect(noted()).to.deep.equal([]);
  });

  it("stay owed by a start that ends while a change of them is under way", async () => {
    const { limitsOf, entry, owed, state, run } = scene(folder.path(""));
    let end: () => void = () => undefined;
    const change = limitsOf.changeWith(id, () => new Promise((resolve) => (end = resolve)));
    await limitsOf.startWith(entry, () => {
      run();
      Object.assign(state, { Status: "exited", Running: false, Pid: 0 });
      return Promise.resolve();
    });
    expect([...owed.limits]).to.deep.equal([[id, "start"]]);
    end();
    await change;
    expect([...owed.limits]).to.deep.equal([[id, "start"]]);
    await limitsOf.settle();
    expect([...owed.limits]).to.deep.equal([]);
  });

  it("are forgotten with the container", async () => {
    OwedEffects.open(folder.path(""), silentLogger).oweLimits(id, "start");
    const { limitsOf, seen } = scene(folder.path(""));
    seen.there = false;
    await limitsOf.settle();
    expect(noted()).to.deep.equal([]);
  });

  it("are owed again after a start by somebody else, and not after one of ours", async () => {
    const { limitsOf, entry, seen, run, state } = scene(folder.path(""));
    await limitsOf
      .startWith(entry, () => {
        run();
        limitsOf.startedByOthers(entry);
        return Promise.resolve();
      })
      .catch(() => undefined);
    expect(seen.kills).to.equal(1);
    run();
    limitsOf.startedByOthers(entry);
    expect(noted()).to.deep.equal([id]);
    await until(() => state.Status === "exited");
    expect(seen.kills).to.equal(2);
  });

  it("are set once after a start that the index tells of before its answer", async () => {
    const { limitsOf, entry, owed, seen, state, run } = scene(folder.path(""));
    await limitsOf.startWith(entry, () => {
      run();
      limitsOf.startedByOthers(entry);
      // Short of life, so that there is nothing left to limit: this process is in no container's cgroup.
      Object.assign(state, { Status: "exited", Running: false, Pid: 0 });
      return Promise.resolve();
    });
    expect([...owed.limits]).to.deep.equal([]);
    expect(noted()).to.deep.equal([]);
    await limitsOf.settle();
    expect([seen.finds, seen.kills, seen.said]).to.deep.equal([1, 0, []]);
  });

  it("that a container may do without are set once, too", async () => {
    const { limitsOf, entry, owed, seen, run } = scene(folder.path(""), noHugePages);
    await limitsOf.startWith(entry, () => {
      run();
      limitsOf.startedByOthers(entry);
      return Promise.resolve();
    });
    expect(noted()).to.deep.equal([]);
    expect([...owed.limits]).to.deep.equal([]);
    // Whatever was begun beside the start is over.
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen.said).to.deep.equal([]);
  });

  it("stay owed when somebody restarts the container while they are written", async () => {
    const { limitsOf, entry, owed, run } = scene(folder.path(""), noHugePages);
    owed.oweLimits(id, "start");
    run();
    const settled = limitsOf.settle();
    limitsOf.startedByOthers(entry);
    await settled;
    expect([...owed.limits.keys()]).to.deep.equal([id]);
    await limitsOf.settle();
    expect([...owed.limits.keys()]).to.deep.equal([]);
  });

  it("kill no container that would run with no more than its pod's cgroup gives it", async () => {
    const { limitsOf, entry, seen, run } = scene(folder.path(""), noHugePages);
    await limitsOf.startWith(entry, () => {
      expect(noted()).to.deep.equal([]);
      run();
      return Promise.resolve();
    });
    expect(seen.kills).to.equal(0);
  });

  it("of a container that has run without them stay owed until the engine answers", async () => {
    for (const why of ["update", "found"] as const) {
      const { limitsOf, entry, owed, seen, state, run } = scene(folder.path(""));
      run();
      // The engine has to be asked which process it is.
      state.Pid = 0;
      if (why === "found") limitsOf.foundRunning([entry]);
      else owed.oweLimits(id, why);
      for (const trouble of [
        new CriError("Unavailable", "docker engine: no answer"),
        new EngineError({ failure: "timeout", operation: "inspect", message: "no answer" }),
      ]) {
        seen.trouble = trouble;
        await limitsOf.settle();
        expect([...owed.limits]).to.deep.equal([[id, why]]);
        const { finds } = seen;
        await limitsOf.settle();
        expect(seen.finds, "asked again at once").to.equal(finds);
        seen.nowMs += 5_000;
      }
      run();
      seen.trouble = undefined;
      await limitsOf.settle();
      expect([...owed.limits], "the kernel refuses").to.deep.equal([]);
      expect(seen.kills).to.equal(0);
    }
  });

  it("kill none whose update broke off, or that was found running: it has run without them", async () => {
    for (const why of ["update", "found"] as const) {
      const { limitsOf, entry, owed, seen, run } = scene(folder.path(""));
      run();
      if (why === "found") limitsOf.foundRunning([entry]);
      else {
        const change = limitsOf.changeWith(id, () => {
          expect(noted()).to.deep.equal([id]);
          return Promise.reject(new Error("no"));
        });
        expect(await change.catch((reason: unknown) => String(reason))).to.equal("Error: no");
      }
      expect([...owed.limits]).to.deep.equal([[id, why]]);
      await limitsOf.settle();
      expect(seen.kills, why).to.equal(0);
      expect([...owed.limits]).to.deep.equal([]);
    }
  });
});
