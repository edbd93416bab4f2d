import { expect } from "chai";
import fc from "fast-check";
import type { CallEvent, EventStep, TraceEvent } from "../../../src/trace/event.ts";
import { renderEvent } from "../../../src/trace/render.ts";
import { durationText, gaps } from "../../../src/trace/text.ts";

const call = (fields: Partial<CallEvent> = {}): CallEvent => ({
  type: "call",
  // Local time, so that the expected text is the same everywhere.
  at: new Date(2026, 10, 21, 14, 3, 22, 118).toISOString(),
  id: 1,
  rpc: "RunPodSandbox",
  pod: { namespace: "shop", name: "web-0", id: "0123456789abcdef" },
  code: "OK",
  durationMs: 200,
  steps: [],
  ...fields,
});
const step = (kind: EventStep["kind"], name: string, fields: Partial<EventStep>): EventStep => ({
  kind,
  name,
  startMs: 0,
  ...fields,
});

describe("the waterfall", () => {
  it("shows a call, its steps in time, and the rest as Dockline's own", () => {
    const steps = [
      step("docker", "POST /containers/create", { startMs: 20, durationMs: 30, status: 201 }),
      step("docker", "POST /containers/{id}/start", { startMs: 50, durationMs: 100, status: 204 }),
      step("cni", "bridge ADD", { startMs: 160, durationMs: 40, status: 0 }),
      step("wait", "place at the engine", { startMs: 199.9, durationMs: 0.05 }),
    ];
    expect(renderEvent(call({ steps })).join("\n")).to.equal(
      `
14:03:22.118 RunPodSandbox shop/web-0                                200.0 ms OK
  docker  POST /containers/create            201 | ###              |    30.0 ms
  docker  POST /containers/{id}/start        204 |    #########     |   100.0 ms
  cni     bridge ADD                           0 |              ####|    40.0 ms
  wait    place at the engine                    |                 #|     0.1 ms
  own     Dockline itself                        |#            #    |    30.0 ms
`.trim(),
    );
    expect(renderEvent(call())).to.have.length(1);
  });

  it("shows what is under way, what came late, pulls and gaps", () => {
    const { at } = call();
    const about = { at, id: 1, rpc: "StopContainer", container: { name: "app" } };
    const open = step("docker", "POST /containers/{id}/stop", { startMs: 1 });
    const done = step("docker", "GET /x", { durationMs: 1, status: 200 });
    const events: TraceEvent[] = [
      { type: "running", ...about, ageMs: 2000, steps: [done, open] },
      { type: "step", ...about, step: { ...open, durationMs: 90_000, status: 204 } },
      {
        type: "pull",
        at,
        image: "registry.example/a/b:1",
        phase: "downloading",
        ageMs: 4000,
        layersDone: 3,
        layersTotal: 7,
        downloadedBytes: 21_000_000,
        totalBytes: 48_100_000,
        callers: 1,
      },
      { type: "dropped", at, count: 12 },
    ];
    expect(events.flatMap((event) => renderEvent(event)).join("\n")).to.equal(
      `
14:03:24.118 StopContainer [app]                                   2.00 s so far
  docker  POST /containers/{id}/stop             |##################|       open
14:03:22.118 StopContainer [app]                                  after its end:
  docker  POST /containers/{id}/stop         204 |##################|   1 m 30 s
14:03:22.118 pull registry.example/a/b:1
                                      downloading 3/7 layers 21.0/48.1 MB 4.00 s
-- 12 events are missing here: this reader was too slow --
`.trim(),
    );
  });

  it("keeps an image's registry and tag, and gives a wide terminal's columns to the bar too", () => {
    const image = `registry.example/${"path/".repeat(30)}name:tag`;
    const pull: TraceEvent = {
      ...{ type: "pull", at: call().at, image, phase: "waiting", ageMs: 1, callers: 1 },
      ...{ layersDone: 0, layersTotal: 0, downloadedBytes: 0, totalBytes: 0 },
    };
    expect(renderEvent(pull, 80)[0]).to.match(/^\S+ pull registry\.example\/.*\.\..*name:tag$/);
    const bars = [60, 80, 100, 140, 500].map((width) => {
      const [head = "", line = ""] = renderEvent(call({ steps: [step("docker", "x", {})] }), width);
      expect(head.length).to.equal(line.length).and.to.equal(Math.min(width, 140));
      return (/\|(.*)\|/.exec(line)?.[1] ?? "").length;
    });
    expect(bars).to.deep.equal([18, 18, 28, 48, 48]);
  });

  it("fits into the terminal and steers none, whatever a call is called", () => {
    const text = fc.string({ unit: "binary", maxLength: 60 });
    const ms = fc.double({ min: 0, max: 1e8, noNaN: true });
    fc.assert(
      fc.property(
        text,
        text,
        text,
        ms,
        ms,
        fc.integer({ min: 1, max: 200 }),
        (a, b, c, x, y, width) => {
          const hostile = call({
            rpc: a,
            pod: { name: `\u001b[2J${b}`, namespace: c },
            image: `${a}\u202e\n`,
            durationMs: x,
            steps: [
              step("docker", c, { startMs: y, durationMs: x }),
              step("cni", b, { startMs: x }),
            ],
          });
          for (const line of renderEvent(hostile, width)) {
            expect(line.length).to.be.at.most(Math.max(60, width));
            expect(line).not.to.match(/[\p{Cc}\p{Cf}]/u);
          }
        },
      ),
    );
  });

  it("finds the time that no step covers", () => {
    const spans = [
      { startMs: 10, durationMs: 20 },
      { startMs: 15, durationMs: 5 },
      { startMs: 50, durationMs: 100 },
    ];
    expect(gaps(spans, 100)).to.deep.equal([
      [0, 10],
      [30, 50],
    ]);
    expect(gaps([{ startMs: 40 }], 100)).to.deep.equal([[0, 40]]);
    expect(gaps([], 5)).to.deep.equal([[0, 5]]);
  });

  it("writes durations for people", () => {
    expect(
      [0.04, 999.9, 999.99, 59_990, 60_000, 3_599_000, 7_265_000].map(durationText),
    ).to.deep.equal(["0.0 ms", "999.9 ms", "1.00 s", "59.99 s", "1 m 0 s", "59 m 59 s", "2 h 1 m"]);
  });
});
