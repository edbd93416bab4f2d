import { Readable } from "node:stream";
import { expect } from "chai";
import { ImageService, RuntimeService } from "../../../src/gen/runtime/v1/api_pb.js";
import type { CallEvent, TraceEvent } from "../../../src/trace/event.ts";
import { passes, unknownRpcs } from "../../../src/trace/filter.ts";
import type { TraceFilter } from "../../../src/trace/filter.ts";
import { readEvents } from "../../../src/trace/lines.ts";
import { Slowest } from "../../../src/trace/slowest.ts";

const at = "2026-11-21T14:03:22.118Z";
const call = (fields: Partial<CallEvent> = {}): CallEvent => ({
  type: "call",
  at,
  id: 1,
  rpc: "StopContainer",
  code: "OK",
  durationMs: 50,
  steps: [],
  ...fields,
});

describe("the filters of a trace", () => {
  const web = call({
    pod: { namespace: "shop", name: "web-0", id: `abcdef${"0".repeat(58)}` },
    container: { name: "app", id: `123456${"0".repeat(58)}` },
  });
  const shown = (event: TraceEvent, filter: TraceFilter): boolean => passes(event, filter);

  it("know a pod by its name, its namespace and the beginning of an id", () => {
    for (const pod of ["web-0", "shop/web-0", "shop/*", "web*", "abcdef", "123456", "ABCDEF0*"]) {
      expect(shown(web, { pod }), pod).to.equal(!pod.startsWith("ABC"));
    }
    for (const pod of ["web", "shop", "other/web-0", "abc", "bcdef", "app", "", "/"]) {
      expect(shown(web, { pod }), pod).to.equal(false);
    }
    expect(shown(call(), { pod: "web-0" })).to.equal(false);
  });

  it("know RPCs and long calls, and let through what is about the trace itself", () => {
    expect(shown(web, { rpcs: ["stopcontainer"] })).to.equal(true);
    expect(shown(web, { rpcs: ["RunPodSandbox", "Stop*"] })).to.equal(true);
    expect(shown(web, { rpcs: ["Stop"] })).to.equal(false);
    expect(shown(web, { overMs: 50 })).to.equal(true);
    expect(shown(web, { overMs: 51 })).to.equal(false);
    expect(shown({ type: "dropped", at, count: 1 }, { pod: "x", rpcs: ["y"] })).to.equal(true);
    expect(unknownRpcs(["Stop*", "StopPod"], ["StopPodSandbox"])).to.deep.equal(["StopPod"]);
  });
});

describe("the filters by RPC", () => {
  const shown = (rpc: string, filter: TraceFilter): boolean => passes(call({ rpc }), filter);

  it("leave out what has a ! in front", () => {
    const filter = { rpcs: ["!Version", "!List*"] };
    expect(
      ["Version", "ListContainers", "StopContainer", "Status"].filter((rpc) => shown(rpc, filter)),
    ).to.deep.equal(["StopContainer", "Status"]);
    expect(shown("StopContainer", { rpcs: ["Stop*", "!StopContainer"] })).to.equal(false);
    expect(shown("StopPodSandbox", { rpcs: ["Stop*", "!StopContainer"] })).to.equal(true);
    expect(unknownRpcs(["!Stop*", "!Nope"], ["StopPodSandbox"])).to.deep.equal(["!Nope"]);
  });

  it("know of every RPC whether it changes something", () => {
    const all = [RuntimeService, ImageService].flatMap(({ methods }) =>
      methods.map(({ name }) => name),
    );
    expect(all.filter((rpc) => shown(rpc, { writes: true })).sort()).to.deep.equal([
      ...[
        "CheckpointContainer",
        "CheckpointPod",
        "CreateContainer",
        "PullImage",
        "RemoveContainer",
        "RemoveImage",
      ],
      ...[
        "RemovePodSandbox",
        "ReopenContainerLog",
        "RestorePod",
        "RunPodSandbox",
        "StartContainer",
      ],
      ...["StopContainer", "StopPodSandbox", "UpdateContainerResources"],
      ...["UpdatePodSandboxResources", "UpdateRuntimeConfig"],
    ]);
  });
});

describe("the slowest calls", () => {
  it("come slowest first, so many as were asked for, of each window", () => {
    const slowest = new Slowest(2);
    for (const durationMs of [5, 30, 10, 20]) slowest.add(call({ durationMs }));
    const { title, calls } = slowest.take(10_000);
    expect(title).to.equal("-- the slowest 2 of 4 calls in 10.00 s --");
    expect(calls.map(({ durationMs }) => durationMs)).to.deep.equal([30, 20]);
    slowest.add(call({ durationMs: 1 }));
    expect(slowest.take().calls.map(({ durationMs }) => durationMs)).to.deep.equal([1]);
  });
});

describe("a recording", () => {
  const read = async (...chunks: string[]): Promise<TraceEvent[]> => {
    const events: TraceEvent[] = [];
    for await (const event of readEvents(Readable.from(chunks.map((text) => Buffer.from(text))))) {
      events.push(event);
    }
    return events;
  };
  const line = JSON.stringify(call({ image: "ü" }));

  it("is read line by line, whatever the chunks; a last line that was cut off is left out", async () => {
    const bytes = `${line}\n\n{"type":"of a later version","at":"x"}\n${line}\n{"type":"ca`;
    const whole = await read(bytes);
    expect(whole).to.deep.equal([call({ image: "ü" }), call({ image: "ü" })]);
    expect(await read(...Array.from(bytes))).to.deep.equal(whole);
  });

  it("names the line that is none", async () => {
    const failure = (text: string): Promise<string> =>
      read(text).then(
        () => "",
        (error: unknown) => (error as Error).message,
      );
    expect(await failure(`${line}\nhello\n`)).to.equal("line 2 is not JSON");
    expect(await failure("[1]\n")).to.equal("line 1 is no trace event");
    expect(await failure("null\n")).to.equal("line 1 is no trace event");
    expect(await failure("x".repeat((4 << 20) + 1))).to.equal("line 1 has no end");
  });
});
