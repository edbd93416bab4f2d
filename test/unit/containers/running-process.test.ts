import { expect } from "chai";
import type { ContainerEntry } from "../../../src/index/container-index.ts";
import { applyToProcess, writeCgroupFiles } from "../../../src/containers/host-writes.ts";
import { runningProcess } from "../../../src/containers/running-process.ts";

interface Look {
  Status: string;
  Running: boolean;
  Pid: number;
}

const id = "cd".repeat(32);
const unknown: Look = { Status: "created", Running: false, Pid: 0 };
const started: Look = { Status: "running", Running: true, Pid: 0 };
const exited: Look = { Status: "exited", Running: false, Pid: 0 };
const running: Look = { Status: "running", Running: true, Pid: process.pid };

/** An engine that answers with one look after the other; the last one stays. */
const rig = (...looks: (Look | undefined)[]) => {
  let nowMs = 0;
  let asked = 0;
  const find = (): Promise<ContainerEntry | undefined> => {
    const state = looks[Math.min(asked, looks.length - 1)];
    asked += 1;
    const times = { ExitCode: 0, Error: "", StartedAt: "", FinishedAt: "" };
    const found = { id, state: { ...times, ...state } } as ContainerEntry;
    return Promise.resolve(state === undefined ? undefined : found);
  };
  const clock = {
    monotonicMs: () => nowMs,
    sleep: (ms: number) => {
      nowMs += ms;
      return Promise.resolve();
    },
  };
  return {
    deps: { index: { find }, clock } as unknown as Parameters<typeof runningProcess>[0],
    nowMs: () => nowMs,
  };
};
const failureOf = async (work: Promise<unknown>): Promise<unknown> =>
  await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );

describe("the process of a container that was started", () => {
  it("is waited for while the engine says what was before the start", async () => {
    expect(await runningProcess(rig(unknown, started, running).deps, id)).to.equal(process.pid);
  });

  it("has ended only when the engine says so", async () => {
    expect(await runningProcess(rig(started, exited).deps, id)).to.equal("ended");
    expect(await runningProcess(rig(undefined).deps, id)).to.equal("ended");
  });

  it("that stays unknown is an error after 30 s, and nothing counts as written", async () => {
    for (const look of [unknown, started]) {
      const { deps, nowMs } = rig(look);
      let wrote = false;
      const write = (): Promise<void> => {
        wrote = true;
        return Promise.resolve();
      };
      expect(await failureOf(applyToProcess(deps, id, write))).to.include({ kind: "Unavailable" });
      expect(wrote).to.equal(false);
      expect(nowMs()).to.be.within(30_000, 31_000);
    }
  });

  it("in no cgroup of the container is an error, unless the container has ended", async () => {
    const write = (pid: number): Promise<void> =>
      writeCgroupFiles(pid, id, [
        { controller: "memory", file: "memory.max", value: "1", optional: false },
      ]);
    const failure = await failureOf(applyToProcess(rig(running).deps, id, write));
    expect((failure as Error).message).to.include("is in no cgroup of the container");
    await applyToProcess(rig(running, exited).deps, id, write);
  });
});
