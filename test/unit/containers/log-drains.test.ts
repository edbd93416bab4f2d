import { expect } from "chai";
import type { Change, ContainerEntry } from "../../../src/index/container-index.ts";
import { LogDrains } from "../../../src/containers/log-drains.ts";

describe("logs of containers that have exited", () => {
  const entry = { id: "c", kind: "container", state: { Status: "exited" } } as ContainerEntry;
  const rig = () => {
    let known = true;
    let asked = 0;
    const index = { onChange: () => () => undefined, peek: () => (known ? entry : undefined) };
    const logs = {
      drain: () => {
        asked += 1;
        return Promise.resolve(true);
      },
    };
    const drains = new LogDrains(logs, index);
    return { drains, asked: () => asked, remove: () => (known = false) };
  };

  it("that cannot be written delay a container once, not each call", async () => {
    const budgets: number[] = [];
    const index = { onChange: () => () => undefined, peek: () => entry };
    const logs = {
      drain: (_id: string, timeoutMs: number) => {
        budgets.push(timeoutMs);
        return Promise.resolve(false);
      },
    };
    const drains = new LogDrains(logs, index);
    // A list, then status after status of a kubelet that relists.
    for (const budgetMs of [250, 250, 2_000, 2_000, 250, 2_000]) {
      await drains.settle([entry], budgetMs);
    }
    expect(budgets).to.deep.equal([250, 1_750]);
  });

  it("that cannot be written are waited for again after another run", async () => {
    let asked = 0;
    let tell: (change: Change) => void = () => undefined;
    const index = {
      onChange: (listener: (change: Change) => void) => {
        tell = listener;
        return () => undefined;
      },
      peek: () => entry,
    };
    const logs = { drain: () => Promise.resolve(++asked > 1) };
    const drains = new LogDrains(logs, index);
    await drains.settle([entry], 2_000);
    tell({ kind: "started", entry, atNs: 0n });
    await drains.settle([entry], 2_000);
    expect(asked).to.equal(2);
  });

  it("that could not be written are drained later, while the container is there and has not been started", async () => {
    const found = new Map(["a", "b", "c"].map((id) => [id, { ...entry, id }]));
    let tell: (change: Change) => void = () => undefined;
    const index = {
      onChange: (listener: (change: Change) => void) => {
        tell = listener;
        return () => undefined;
      },
      peek: (id: string) => found.get(id),
    };
    const asked: string[] = [];
    const third = new Promise<void>((resolve) => {
      const logs = {
        drain: (id: string) => {
          asked.push(id);
          if (asked.filter((one) => one === "a").length === 3) resolve();
          if (asked.length === 2) return Promise.reject(new Error("no thread"));
          return Promise.resolve(asked.length > 5);
        },
      };
      new LogDrains(logs, index, 20);
    });
    for (const one of found.values()) tell({ kind: "stopped", entry: one, atNs: 0n });
    await new Promise((resolve) => setImmediate(resolve));
    found.delete("b");
    found.set("c", { ...entry, id: "c", state: { ...entry.state, Status: "running" } });
    await third;
    expect(asked).to.deep.equal(["a", "b", "c", "a", "a"]);
  });

  it("are drained once", async () => {
    const { drains, asked } = rig();
    await drains.settle([entry], 1);
    await drains.settle([entry], 1);
    expect(asked()).to.equal(1);
  });

  it("are not remembered when the container is removed meanwhile", async () => {
    const { drains, asked, remove } = rig();
    const settled = drains.settle([entry], 1);
    remove();
    await settled;
    await drains.settle([entry], 1);
    expect(asked()).to.equal(2);
  });
});
