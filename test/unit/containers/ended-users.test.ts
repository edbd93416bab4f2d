import { expect } from "chai";
import type { ProcessIds } from "../../../src/convert/container-out.ts";
import type { ContainerEntry, IndexHealth } from "../../../src/index/container-index.ts";
import { silentLogger } from "../../../src/log.ts";
import { EndedUsers } from "../../../src/containers/ended-users.ts";
import { ProcessUsers } from "../../../src/containers/process-users.ts";

const accounts = {
  passwd: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:\n",
  group: "root:x:0:\nwheel:x:10:root\nextra:x:2000:app\n",
};

describe("the users of containers that have ended", () => {
  const entryOf = (
    user: string,
    groups: string[] = [],
    status = "exited",
    id = "c",
  ): ContainerEntry =>
    ({
      id,
      kind: "container",
      imageId: "sha256:i",
      state: { Status: status, Running: false, Pid: 0 },
      inspect: { Config: { User: user }, HostConfig: { GroupAdd: groups } },
    }) as unknown as ContainerEntry;

  const rig = (answer: () => Promise<typeof accounts> = () => Promise.resolve(accounts)) => {
    const known = new Map<string, ProcessIds>();
    const users = new ProcessUsers({
      get: (key) => known.get(key),
      add: (key, ids) => void known.set(key, ids),
    });
    const budgets: number[] = [];
    let asked = 0;
    let nowMs = 0;
    const removed = new Set<string>();
    const health = { engineReady: true };
    const ended = new EndedUsers({
      users,
      index: {
        peek: (id: string) => (removed.has(id) ? undefined : entryOf("")),
        health: health as IndexHealth,
      },
      imageAccounts: () => {
        asked += 1;
        return answer();
      },
      clock: {
        monotonicMs: () => nowMs,
        sleep: (ms) => {
          budgets.push(ms);
          return Promise.resolve();
        },
      },
      log: silentLogger,
    });
    const pass = (ms: number): number => (nowMs += ms);
    return { users, ended, budgets, removed, health, known, asked: () => asked, pass };
  };

  for (const [user, groups, uid, gid, supplementalGroups] of [
    ["", [], 0n, 0n, [0n, 10n]],
    ["", ["7", "extra"], 0n, 0n, [0n, 10n, 7n, 2000n]],
    ["app", [], 1000n, 1001n, [1001n, 2000n]],
    ["1000", ["2000"], 1000n, 1001n, [1001n, 2000n, 2000n]],
    ["app:wheel", [], 1000n, 10n, [10n]],
  ] as [string, string[], bigint, bigint, bigint[]][]) {
    it(`are worked out from the image: "${user}" with [${groups.join(" ")}]`, async () => {
      const { users, ended, asked } = rig();
      const entry = entryOf(user, groups);
      await ended.settle([entry], 2_000);
      expect(users.of(entry)).to.deep.equal({ uid, gid, supplementalGroups });
      // Another container of the same kind costs nothing.
      await ended.settle([entry, entryOf(user, groups, "exited", "d")], 2_000);
      expect(asked()).to.equal(1);
    });
  }

  it("are not looked for where the status says them by itself, or no process was started", async () => {
    const { ended, asked } = rig();
    const others = [entryOf("1:2"), entryOf("", [], "created"), entryOf("", [], "running")];
    await ended.settle(others, 2_000);
    expect(asked()).to.equal(0);
  });

  it("are tried again a minute after a failure, and no status fails for it", async () => {
    let fails = true;
    const { users, ended, asked, pass } = rig(() =>
      fails ? Promise.reject(new Error("no such image")) : Promise.resolve(accounts),
    );
    const entry = entryOf("");
    await ended.settle([entry], 2_000);
    pass(59_000);
    await ended.settle([entry], 2_000);
    expect(asked()).to.equal(1);
    expect(users.of(entry)).to.equal(undefined);
    fails = false;
    pass(1_000);
    await ended.settle([entry], 2_000);
    expect(users.of(entry)?.uid).to.equal(0n);
  });

  it("fail for a kind of containers, which is then asked for once", async () => {
    const { ended, asked } = rig(() => Promise.reject(new Error("no such image")));
    await ended.settle([entryOf("", [], "exited", "c")], 2_000);
    await ended.settle([entryOf("", [], "exited", "d")], 2_000);
    expect(asked()).to.equal(1);
    await ended.settle([entryOf("app", [], "exited", "e")], 2_000);
    expect(asked()).to.equal(2);
  });

  it("are waited for by all calls together no longer than one may wait, and come later", async () => {
    let answer: (found: typeof accounts) => void = () => undefined;
    const slow = new Promise<typeof accounts>((resolve) => (answer = resolve));
    const { users, ended, budgets, asked } = rig(() => slow);
    const [entry, other] = [entryOf(""), entryOf("", [], "exited", "d")];
    await ended.settle([entry], 250);
    await ended.settle([entry], 250);
    await ended.settle([entry], 2_000);
    await ended.settle([entry, other], 2_000);
    expect(budgets).to.deep.equal([250, 1_750]);
    answer(accounts);
    await new Promise(setImmediate);
    expect([entry, other].map((each) => users.of(each)?.uid)).to.deep.equal([0n, 0n]);
    expect(asked()).to.equal(1);
  });

  it("are not asked for while the engine does not answer", async () => {
    const { users, ended, asked, health } = rig();
    health.engineReady = false;
    await ended.settle([entryOf("")], 2_000);
    expect(asked()).to.equal(0);
    health.engineReady = true;
    await ended.settle([entryOf("")], 2_000);
    expect(users.of(entryOf(""))?.uid).to.equal(0n);
  });

  it("are not kept of a container that was removed meanwhile", async () => {
    const { users, ended, removed, known } = rig();
    removed.add("c");
    await ended.settle([entryOf("", [], "exited", "c")], 2_000);
    expect([...known]).to.deep.equal([]);
    expect(users.of(entryOf("", [], "exited", "c"))).to.equal(undefined);
  });
});
