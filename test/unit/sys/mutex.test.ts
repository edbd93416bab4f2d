import { expect } from "chai";
import { KeyedMutex, Semaphore, SingleFlight } from "../../../src/sys/mutex.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a caller that goes while it waits for its turn", () => {
  it("ends there, whoever comes after it has its turn, and what has begun goes on", async () => {
    const mutex = new KeyedMutex();
    const done: string[] = [];
    let finish = (): void => undefined;
    const first = new AbortController();
    const begun = mutex.run(
      "key",
      async () => {
        await new Promise<void>((resolve) => (finish = resolve));
        done.push("first");
      },
      first.signal,
    );
    const caller = new AbortController();
    const waits = mutex
      .run("key", () => Promise.resolve(done.push("second")), caller.signal)
      .catch((error: unknown) => (error as Error).message);
    const last = mutex.run("key", () => Promise.resolve(done.push("third")));
    await Promise.resolve();
    caller.abort(new Error("the caller has gone"));
    expect(await waits).to.equal("the caller has gone");
    first.abort(new Error("too late"));
    expect(done).to.deep.equal([]);
    finish();
    await Promise.all([begun, last]);
    expect(done).to.deep.equal(["first", "third"]);
    // Nothing holds it any more.
    await mutex.run("key", () => Promise.resolve());
  });
});

describe("locks", () => {
  it("of one key never overlap, keep their order, and pass results and errors on", async () => {
    const mutex = new KeyedMutex();
    const order: string[] = [];
    const work = (name: string) => async () => {
      order.push(`${name} begins`);
      await turn();
      order.push(`${name} ends`);
      if (name === "b") throw new Error("b failed");
      return name;
    };
    const settled = await Promise.allSettled(
      ["a", "b", "c"].map((name) => mutex.run("key", work(name))),
    );
    expect(settled.map(({ status }) => status)).to.deep.equal([
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    expect(order).to.deep.equal(
      ["a", "b", "c"].flatMap((name) => [`${name} begins`, `${name} ends`]),
    );
  });

  it("of other keys do not wait", async () => {
    const mutex = new KeyedMutex();
    let free: () => void = () => undefined;
    const slow = mutex.run("slow", () => new Promise<void>((resolve) => (free = resolve)));
    expect(await mutex.run("other", () => Promise.resolve(1))).to.equal(1);
    free();
    await slow;
  });

  it("single flights are shared while they last, failures too, and then start over", async () => {
    const flight = new SingleFlight<number>();
    let runs = 0;
    const work = async (): Promise<number> => {
      runs += 1;
      await turn();
      if (runs === 1) throw new Error("first");
      return runs;
    };
    const first = await Promise.allSettled([flight.run("k", work), flight.run("k", work)]);
    expect(first.map(({ status }) => status)).to.deep.equal(["rejected", "rejected"]);
    expect(await Promise.all([flight.run("k", work), flight.run("k", work)])).to.deep.equal([2, 2]);
    expect(runs).to.equal(2);
  });

  it("a semaphore lets so many in and no more, after failures too", async () => {
    const semaphore = new Semaphore(2);
    let inside = 0;
    let most = 0;
    const results = await Promise.allSettled(
      Array.from({ length: 9 }, (_, at) =>
        semaphore.run(async () => {
          inside += 1;
          most = Math.max(most, inside);
          await turn();
          inside -= 1;
          if (at % 3 === 0) throw new Error("failed");
        }),
      ),
    );
    expect(most).to.equal(2);
    expect(results.filter(({ status }) => status === "rejected")).to.have.length(3);
  });
});
