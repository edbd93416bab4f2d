import { expect } from "chai";
import fc from "fast-check";
import { beginStep, outsideCall, waiting, withCallTrace } from "../../../src/sys/call-trace.ts";
import type { CallTrace } from "../../../src/sys/call-trace.ts";
import { KeyedMutex, Semaphore, SingleFlight } from "../../../src/sys/mutex.ts";
import { formatTraceparent, parseTraceparent } from "../../../src/sys/trace-context.ts";

const traceId = "a".repeat(32);
const spanId = "b".repeat(16);
const newCall = (fields: Partial<CallTrace> = {}): CallTrace => ({
  rpc: "X",
  startedAtMs: performance.now(),
  steps: [],
  ...fields,
});
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("the steps of a call", () => {
  it("are in the order of their start, at any depth, and outside of it nobody's", async () => {
    const call = newCall();
    await withCallTrace(call, async () => {
      const first = beginStep("docker", "one");
      await pause(2);
      const second = beginStep("cni", "two");
      second.end(0);
      first.end(500);
      first.end(200);
      outsideCall(() => beginStep("docker", "background").end(200));
    });
    beginStep("docker", "nobody's").end(200);
    expect(call.steps.map(({ name, status }) => [name, status])).to.deep.equal([
      ["one", 500],
      ["two", 0],
    ]);
    expect(call.steps[1]?.startMs).to.be.greaterThan(1);
  });

  it("are kept up to a bound, since what a call left behind may go on", () => {
    const call = newCall();
    withCallTrace(call, () => {
      for (let step = 0; step < 700; step += 1) beginStep("docker", "x").end(200);
    });
    expect([call.steps.length, call.stepsLeftOut]).to.deep.equal([500, 200]);
  });

  it("tell of waits for locks, places and answers under way, and of no wait that was none", async () => {
    const locks = new KeyedMutex();
    const places = new Semaphore(1);
    const flights = new SingleFlight<number>();
    const work = (): Promise<number> => pause(20).then(() => 7);
    const both = async (run: () => Promise<number>): Promise<CallTrace[]> => {
      const calls = [newCall(), newCall()];
      const results = await Promise.all(calls.map((call) => withCallTrace(call, run)));
      expect(results).to.deep.equal([7, 7]);
      return calls;
    };
    for (const [name, run] of [
      ["lock sandbox", () => locks.run("sandbox:k8s_POD_secret_name", work)],
      ["queue", () => places.run(work)],
      ["answer under way", () => flights.run("x", work)],
    ] as const) {
      const [first, second] = await both(run);
      expect(first?.steps).to.deep.equal([]);
      expect(second?.steps.map((step) => [step.kind, step.name])).to.deep.equal([["wait", name]]);
      expect(second?.steps[0]?.durationMs, name).to.be.within(10, 200);
    }
    const failing = newCall();
    const failed = await withCallTrace(failing, () =>
      waiting("it", () => Promise.reject(new Error("no"))).catch((error: unknown) => error),
    );
    expect((failed as Error).message).to.equal("no");
    expect(failing.steps[0]?.durationMs).to.be.a("number");
  });

  it("give the engine the caller's context, or a span of their own when the call is exported", () => {
    const traceparent = `00-${traceId}-${spanId}-01`;
    const headers = (call: CallTrace): Record<string, string> =>
      withCallTrace(call, () => beginStep("docker", "x").traceHeaders());
    expect(headers(newCall())).to.deep.equal({});
    expect(headers(newCall({ traceparent, tracestate: "k=v" }))).to.deep.equal({
      traceparent,
      tracestate: "k=v",
    });
    expect(headers(newCall({ traceparent, tracestate: "k=\r\nEvil: 1" }))).to.deep.equal({
      traceparent,
    });
    expect(headers(newCall({ traceparent: "00-evil\r\nX: 1" }))).to.deep.equal({});
    const exported = newCall({ traceparent, span: { traceId, spanId: "c".repeat(16) } });
    const sent = headers(exported)["traceparent"] ?? "";
    const [step] = exported.steps;
    expect(sent).to.equal(`00-${traceId}-${step?.spanId ?? ""}-01`);
    expect(step?.spanId)
      .to.match(/^[0-9a-f]{16}$/)
      .and.not.to.equal("c".repeat(16));
  });
});

describe("a traceparent", () => {
  it("is taken in its own form only", () => {
    const good = `00-${traceId}-${spanId}-01`;
    expect(parseTraceparent(good)).to.deep.equal({ traceId, spanId, sampled: true });
    expect(parseTraceparent(`00-${traceId}-${spanId}-02`)?.sampled).to.equal(false);
    // Later versions may only add to it in ways that this form does not show.
    expect(parseTraceparent(`01-${traceId}-${spanId}-01`)?.sampled).to.equal(true);
    for (const bad of [
      undefined,
      "",
      `ff-${traceId}-${spanId}-01`,
      `00-${"0".repeat(32)}-${spanId}-01`,
      `00-${traceId}-${"0".repeat(16)}-01`,
      good.toUpperCase(),
      `${good}\n`,
      `${good}-x`,
    ]) {
      expect(parseTraceparent(bad), String(bad)).to.equal(undefined);
    }
  });

  it("comes back from its text", () => {
    const hex = (length: number): fc.Arbitrary<string> =>
      fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`)).filter((text) => !/^0+$/.test(text));
    fc.assert(
      fc.property(hex(32), hex(16), fc.boolean(), (trace, span, sampled) => {
        const context = { traceId: trace, spanId: span, sampled };
        expect(parseTraceparent(formatTraceparent(context))).to.deep.equal(context);
      }),
    );
  });
});
