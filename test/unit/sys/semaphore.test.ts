import { expect } from "chai";
import { Semaphore } from "../../../src/sys/mutex.ts";

const never = new AbortController().signal;

describe("a semaphore", () => {
  it("lets the limit in, the rest in order as places come free", async () => {
    const cap = new Semaphore(2);
    const leave = [await cap.enter(never), await cap.enter(never)];
    const order: number[] = [];
    const third = cap.enter(never).then((l) => (order.push(3), l));
    const fourth = cap.enter(never).then((l) => (order.push(4), l));
    await Promise.resolve();
    expect(order).to.deep.equal([]);
    leave[0]!();
    leave[0]!();
    (await third)();
    (await fourth)();
    expect(order).to.deep.equal([3, 4]);
  });

  it("lets go of one that gives up, and of its place", async () => {
    const cap = new Semaphore(1);
    const leave = await cap.enter(never);
    const controller = new AbortController();
    const waiting = cap.enter(controller.signal).then(
      () => "in",
      (error: unknown) => (error as Error).message,
    );
    controller.abort(new Error("gave up"));
    expect(await waiting).to.equal("gave up");
    leave();
    (await cap.enter(never))();
    expect(() => controller.signal.throwIfAborted()).to.throw("gave up");
  });

  it("does not let in one that gave up before", async () => {
    const cap = new Semaphore(1);
    const result = await cap.enter(AbortSignal.abort(new Error("late"))).catch((e: unknown) => e);
    expect(result).to.have.property("message", "late");
    (await cap.enter(never))();
  });
});
