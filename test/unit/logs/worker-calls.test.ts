import { expect } from "chai";
import type { ResumedLog } from "../../../src/logs/container-logs.ts";
import { HungPath } from "../../../src/logs/hung-path.ts";
import { LeftOut, WorkerCalls } from "../../../src/logs/worker-calls.ts";

const MOUNTS = [
  "30 1 8:1 / / rw - ext4 /dev/sda1 rw",
  "40 30 0:50 / /net rw - nfs4 server:/export rw",
].join("\n");

describe("calls of the thread of container logs", () => {
  const target = (containerId: string, logDirectory: string): ResumedLog => ({
    ...{ containerId, logDirectory, logPath: "0.log", format: "cri" },
    sourcePath: `/docker/${containerId}`,
  });
  const rig = (): { calls: WorkerCalls; ended: string[]; note: (what: string) => Note } => {
    const ended: string[] = [];
    const note = (what: string): Note => [
      () => void ended.push(`${what} done`),
      (error: unknown) => void ended.push(`${what} ${error instanceof LeftOut ? "left out" : "?"}`),
    ];
    return { calls: new WorkerCalls(), ended, note };
  };
  type Note = [() => void, (error: unknown) => void];
  const post = (): void => undefined;
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it("that start a log where a thread hangs are not asked of the next one", async () => {
    const { calls, ended, note } = rig();
    const known = [target("followed", "/net/a")];
    const hung = new HungPath("/net/a/0.log", MOUNTS, known, Promise.resolve());
    void calls.ask("start", [target("new", "/net/b")], post).then(...note("start there"));
    void calls.ask("start", [target("other", "/logs")], post).then(...note("start elsewhere"));
    void calls.ask("reopen", ["followed"], post).then(...note("reopen there"));
    void calls.ask("remove", ["followed"], post).then(...note("remove there"));
    void calls.ask("adopt", [known], post).then(...note("adopt"));
    calls.leaveOut((id, one) => hung.leftOut.has(id) || (one !== undefined && hung.concerns(one)));
    await settled();
    expect(ended).to.have.members(["start there left out", "reopen there left out"]);
    const posted: string[] = [];
    calls.again(
      (message) => posted.push("method" in message ? message.method : ""),
      () => Promise.resolve(undefined),
    );
    expect(posted).to.deep.equal(["start", "remove"]);
  });

  it("that hold a lock are answered where there is no thread to wait for", async () => {
    const { calls, ended, note } = rig();
    void calls.ask("start", [target("a", "/a")], post).then(...note("start"));
    void calls.ask("reopen", ["a"], post).then(...note("reopen"));
    void calls.ask("remove", ["a"], post).then(...note("remove"));
    void calls.ask("drain", ["a", 50], post).then(...note("drain"));
    calls.leaveAll();
    await settled();
    expect(ended).to.have.members(["start left out", "reopen left out", "remove done"]);
  });
});
