import { expect } from "chai";
import { RoundQueue } from "../../../src/logs/round-queue.ts";

describe("rounds of many logs", () => {
  it("leave a turn to others after a while, and come in the order in which they were asked for", async () => {
    let nowMs = 0;
    const queue = new RoundQueue({ monotonicMs: () => nowMs });
    const done: string[] = [];
    let isOver = false;
    // As what has been asked of the thread meanwhile.
    const others = (): void => {
      done.push("others");
      if (!isOver) setImmediate(others);
    };
    setImmediate(others);
    const rounds = ["a", "b", "c", "d", "e"].map((name) =>
      queue.run(() => {
        nowMs += 60;
        done.push(name);
        if (name === "c") throw new Error("disk full");
        // The next one of the same log is behind those that wait.
        if (name === "a") void queue.run(() => done.push("a again"));
        return name;
      }),
    );
    const results = await Promise.allSettled(rounds);
    await queue.run(() => undefined);
    isOver = true;
    expect(results.map(({ status }) => status).join()).to.equal(
      "fulfilled,fulfilled,rejected,fulfilled,fulfilled",
    );
    expect(done.filter((what) => what !== "others")).to.deep.equal([
      ...["a", "b", "c", "d", "e", "a again"],
    ]);
    const text = done.join(" ");
    expect(text).to.match(/^others a b others c d others e a again/);
  });
});
