import { Readable } from "node:stream";
import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import type { PullOptions } from "../../../src/engine/engine.ts";
import type { PullProgress } from "../../../src/engine/image-types.ts";
import { CriError } from "../../../src/errors.ts";
import { createPuller, pullError } from "../../../src/images/pull.ts";
import type { Puller, PullRequest } from "../../../src/images/pull.ts";
import { withCallTrace } from "../../../src/sys/call-trace.ts";
import type { CallTrace } from "../../../src/sys/call-trace.ts";
import { systemClock } from "../../../src/sys/clock.ts";

const layer = (id: string, status: string, current?: number): PullProgress => ({
  id,
  status,
  ...(current === undefined ? {} : { progressDetail: { current, total: 100 } }),
});
const saying = (...messages: PullProgress[]): AsyncIterable<PullProgress> =>
  Readable.from(messages);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** An engine whose pulls say what the script yields, and stay silent then until they are cut. */
function pullerOf(
  script: (pull: number) => AsyncIterable<PullProgress>,
  progressDeadlineMs = 200,
): { puller: Puller; pulls: PullOptions[] } {
  const pulls: PullOptions[] = [];
  const engine = {
    pullImage: async function* (options: PullOptions): AsyncGenerator<PullProgress> {
      pulls.push(options);
      yield* script(pulls.length);
      await new Promise((_, reject) => {
        // The engine takes a moment to end it.
        const cut = (): void =>
          void setTimeout(() => {
            reject(new EngineError({ failure: "aborted", operation: "pull", message: "cut" }));
          }, 20);
        if (options.signal?.aborted === true) cut();
        options.signal?.addEventListener("abort", cut);
      });
    },
  };
  return { puller: createPuller({ engine, clock: systemClock, progressDeadlineMs }), pulls };
}

const request = (fields: Partial<PullRequest> = {}): PullRequest => ({
  image: "x:1",
  repository: "x",
  tagOrDigest: "1",
  signal: new AbortController().signal,
  ...fields,
});

async function stalls(puller: Puller): Promise<void> {
  try {
    await puller.pull(request());
  } catch (error) {
    expect(error).to.be.instanceOf(CriError);
    expect((error as Error).message).to.match(/^RegistryUnavailable: .*no progress for/);
    return;
  }
  throw new Error("it did not stall");
}

describe("the progress deadline of a pull", () => {
  const silentAfter: Record<string, PullProgress[]> = {
    "nothing at all": [],
    "a repeated Waiting": [layer("a", "Pulling fs layer"), layer("a", "Waiting")],
    "one layer extracted while the next has not come": [
      layer("a", "Pulling fs layer"),
      layer("b", "Pulling fs layer"),
      layer("a", "Download complete"),
      layer("a", "Extracting", 50),
    ],
    "all layers in place, the configuration missing": [
      layer("a", "Pulling fs layer"),
      layer("a", "Download complete"),
      layer("a", "Pull complete"),
    ],
    "layers that were there already": [layer("a", "Already exists")],
  };
  for (const [name, messages] of Object.entries(silentAfter)) {
    it(`runs out after ${name}`, async () => {
      await stalls(pullerOf(() => saying(...messages)).puller);
    });
  }

  it("runs out while the same number of bytes is reported again and again", async () => {
    const { puller } = pullerOf(async function* () {
      for (let n = 0; n < 30; n += 1) {
        yield layer("a", "Downloading", 10);
        await pause(30);
      }
    });
    await stalls(puller);
  });

  it("rests while all that is left is extraction", async () => {
    const controller = new AbortController();
    const { puller } = pullerOf(() =>
      saying(
        layer("a", "Pulling fs layer"),
        layer("a", "Download complete"),
        layer("a", "Extracting", 1),
      ),
    );
    const pull = puller.pull(request({ signal: controller.signal }));
    await pause(600);
    expect(puller.running().map(({ phase }) => phase)).to.deep.equal(["extracting"]);
    controller.abort(new Error("enough"));
    const ended = await pull.then(
      () => "done",
      (error: unknown) => (error as Error).message,
    );
    expect(ended).to.equal("enough");
  });
});

describe("the progress of a pull", () => {
  it("has layers, bytes and age, and those who wait for it", async () => {
    const controller = new AbortController();
    const { puller } = pullerOf(() =>
      saying(
        { id: "1", status: "Pulling from library/x" },
        layer("a", "Already exists"),
        layer("b", "Pulling fs layer"),
        layer("c", "Pulling fs layer"),
        layer("b", "Downloading", 40),
        layer("c", "Downloading", 100),
        layer("c", "Download complete"),
        layer("c", "Pull complete"),
        layer("d", "Pulling fs layer"),
        layer("d", "Download complete"),
      ),
    );
    const image = "https://user:hunter2@registry.example/x:1";
    const trace: CallTrace = { rpc: "PullImage", startedAtMs: 0, steps: [] };
    const pulls = [
      puller.pull(request({ image, signal: controller.signal })),
      withCallTrace(trace, () => puller.pull(request({ image, signal: controller.signal }))),
    ];
    await pause(50);
    const [state] = puller.running();
    expect(state).to.deep.include({
      image: "https://registry.example/x:1",
      phase: "downloading",
      layersDone: 2,
      layersTotal: 4,
      downloadedBytes: 140,
      totalBytes: 200,
      callers: 2,
    });
    expect(state?.ageMs).to.be.within(30, 5000);
    controller.abort(new Error("enough"));
    await Promise.allSettled(pulls);
    expect(trace.steps.map(({ kind, name }) => [kind, name])).to.deep.equal([
      ["wait", "pull under way"],
    ]);
    expect(trace.steps[0]?.durationMs).to.be.a("number");
    await pause(50);
    expect(puller.running()).to.deep.equal([]);
  });
});

describe("pulls that are shared", () => {
  it("are not joined to one that is being closed, and its end forgets no successor", async () => {
    const { puller, pulls } = pullerOf(() => saying(layer("a", "Pulling fs layer")), 0);
    const first = new AbortController();
    const second = new AbortController();
    const pull = (signal: AbortSignal): Promise<string> =>
      puller.pull(request({ signal })).then(
        () => "done",
        (error: unknown) => (error as Error).message,
      );
    const results = [pull(first.signal)];
    await pause(10);
    first.abort(new Error("left"));
    await pause(5);
    results.push(pull(second.signal));
    await pause(50);
    // The first one's end has come by now; this one belongs to the second.
    results.push(pull(second.signal));
    await pause(10);
    expect(pulls).to.have.length(2);
    second.abort(new Error("left"));
    expect(await Promise.all(results)).to.deep.equal(["left", "left", "left"]);
    await pause(50);
    expect(puller.running()).to.deep.equal([]);
  });
});

describe("the words of a failed pull", () => {
  const status = (message: string): EngineError =>
    new EngineError({ failure: "status", status: 500, operation: "pull image", message });
  for (const [image, said, start] of [
    ["a/notary:1", "pull image: manifest for a/notary:1 not found", "pull a/notary:1: manifest"],
    ["a/x:503", "pull image: manifest for a/x:503 not found: manifest unknown", "pull a/x:503: "],
    ["a/x:1", "received unexpected HTTP status: 503 Service Unavailable", "RegistryUnavailable: "],
    ["a/x:1", "toomanyrequests: slow down", "RegistryUnavailable: pull a/x:1: toomany"],
    ["a/x:1", 'Get "https://a/v2/": dial tcp: lookup a: no such host', "RegistryUnavailable: "],
    ["a/x:1", "remote trust data does not exist", "SignatureValidationFailed: pull a/x:1"],
  ] as const) {
    it(`of ${image}: ${said}`, () => {
      const error = pullError({ image }, status(said)) as CriError;
      expect(error.kind).to.equal("Unknown");
      expect(error.message.startsWith(start), error.message).to.equal(true);
    });
  }

  it("leave an engine's own absence as it is", () => {
    for (const failure of ["unreachable", "timeout", "aborted"] as const) {
      const error = new EngineError({ failure, operation: "pull image", message: "x" });
      expect(pullError({ image: "x" }, error)).to.equal(error);
    }
  });
});
