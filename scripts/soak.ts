/**
 * npm run soak: pods, execs, logs, figures, events, streams and pulls come and go for so many
 * minutes while faults are injected at random, and at rest between them everything that could leak
 * is measured. Ends with a figure for each, and not with 0 when one of them grew.
 *
 *   node scripts/soak.ts [--minutes 3] [--seed N] [--workers 4] [--no-faults] [COUNT...] [--full]
 *
 * Counts come first, each 0 unless it is given; --full gives what stands behind them:
 *   --restarts N       restarts of Dockline under --pods M pods (50 under 100)
 *   --stops-in-add N   pods stopped while their ADD runs, and as many whose ADD fails (200)
 *   --timed-execs N    ExecSync calls that run into their timeout (1000)
 *   --rounds N         attaches that leave, and as many execs of a program that is not there (1000)
 *
 * It starts a dockerd of its own; needs root and what `npm test` needs.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { followEvents, livePod, pullOne, readAll } from "../test/soak/churn.ts";
import type { ChurnDeps, Counts } from "../test/soak/churn.ts";
import { injectFaults, soakFaults } from "../test/soak/faults.ts";
import {
  about,
  judge,
  memorySlope,
  openRequests,
  readGauges,
  slackOfRounds,
} from "../test/soak/gauges.ts";
import type { Gauges, Verdict } from "../test/soak/gauges.ts";
import { seeded } from "../test/soak/random.ts";
import { restartRounds } from "../test/soak/restarts.ts";
import { stopsInAdd } from "../test/soak/stops-in-add.ts";
import { streamRounds } from "../test/soak/streams.ts";
import { timedExecs } from "../test/soak/timed-execs.ts";
import { startFailpointNode } from "../test/support/failpoint-node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removeAllPods,
  removePod,
  runPod,
  startContainer,
} from "../test/support/pods.ts";
import { startPrivateEngine } from "../test/support/private-engine.ts";
import { startRegistry } from "../test/support/registry.ts";
import { until } from "../test/support/until.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "3" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    workers: { type: "string", default: "4" },
    "no-faults": { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    restarts: { type: "string" },
    pods: { type: "string" },
    "stops-in-add": { type: "string" },
    "timed-execs": { type: "string" },
    rounds: { type: "string" },
  },
});
const numberOf = (text: string): number => {
  const number = Number(text);
  if (!Number.isFinite(number) || number < 0) throw new Error(`not a number: ${text}`);
  return number;
};
const [minutes, seed, workers] = [values.minutes, values.seed, values.workers].map(numberOf) as [
  number,
  number,
  number,
];
const countOf = (given: string | undefined, full: number): number =>
  numberOf(given ?? String(values.full ? full : 0));
const counts = {
  restarts: countOf(values.restarts, 50),
  pods: numberOf(values.pods ?? "100"),
  stopsInAdd: countOf(values["stops-in-add"], 200),
  timedExecs: countOf(values["timed-execs"], 1000),
  rounds: countOf(values.rounds, 1000),
};

const beganMs = performance.now();
const elapsedMinutes = (): number => (performance.now() - beganMs) / 60_000;
const say = (text: string): void => {
  console.log(`${elapsedMinutes().toFixed(1).padStart(5)} min  ${text}`);
};

const engine = await startPrivateEngine(["--live-restore"]);
const registry = await startRegistry();
const plugins = await startFailpointNode({
  upstream: engine.socketPath,
  args: ["--log-level=info", "--runtime-request-timeout=15s"],
});
const { node } = plugins;
const verdicts: Verdict[] = [];
try {
  const image = { files: [{ path: "a", content: "one" }], config: { Cmd: ["/a"] } };
  const images: string[] = [];
  for (const name of ["one", "two", "three"]) {
    await registry.push(`soak/${name}`, ["1"], { ...image, salt: name });
    images.push(`${registry.host}/soak/${name}:1`);
  }
  verdicts.push(...(await countedFaults()));
  if (minutes > 0) verdicts.push(...(await churn(images)));
  const slips = node
    .log()
    .split("\n")
    .filter((line) => /unhandled rejection|uncaught exception/.test(line));
  verdicts.push({
    name: "unhandled rejections",
    passed: slips.length === 0,
    text: slips[0] ?? "none",
  });
} finally {
  await plugins.close();
  await registry.close();
  await engine.remove();
}
for (const { name, passed, text } of verdicts) {
  console.log(`${passed ? "ok  " : "LEAK"}  ${name}: ${text}`);
}
const failed = verdicts.filter(({ passed }) => !passed).length;
console.log(`${verdicts.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** At rest: nothing under way here or in the engine. */
async function reading(): Promise<Gauges> {
  await removeAllPods(node);
  await sleep(3000);
  const gauges = await readGauges(node, engine, elapsedMinutes());
  say(
    `at rest: ${gauges.residentMib.toFixed(0)} MiB, ${gauges.descriptors} descriptors, ` +
      `requests under way: ${openRequests(node).join("; ") || "none"}, ` +
      `engine: ${gauges.engineGoroutines} goroutines, ${gauges.engineDescriptors} descriptors, ` +
      `and ${gauges.leftAttaches} attaches that it never ended`,
  );
  return gauges;
}

/** The faults that are counted, one after the other; what leaks shows in the readings between them. */
async function countedFaults(): Promise<Verdict[]> {
  const { restarts, pods, stopsInAdd: stops, timedExecs: execs, rounds } = counts;
  const found: Verdict[] = [];
  const random = seeded(seed);
  if (restarts > 0) {
    const restarted = await restartRounds(plugins, { restarts, pods, random, say });
    found.push(...about(`${restarts} restarts under ${pods} pods`, restarted));
  }
  if (stops > 0) {
    found.push(
      ...(await flat(`${stops} ADDs that are stopped or fail`, () =>
        stopsInAdd(plugins, { rounds: stops, random }),
      )),
    );
  }
  if (execs > 0) {
    const work = async (): Promise<Verdict[]> => {
      const pod = await runPod(node, hostSandboxConfig(node));
      const containerId = await startContainer(node, pod, containerConfig("sleep 100000"));
      return await timedExecs(node, containerId, { count: execs, say });
    };
    found.push(...(await flat(`${execs} execs that time out`, work, slackOfRounds)));
  }
  if (rounds > 0) found.push(...(await testRounds(rounds)));
  return found;
}

/** Adds what a piece of work left at rest to its own verdicts. */
async function flat(
  name: string,
  work: () => Promise<Verdict[]>,
  slack?: typeof slackOfRounds,
): Promise<Verdict[]> {
  // What is loaded at the first use is no leak.
  await removePod(node, await runPod(node));
  const before = await reading();
  const verdicts = await work();
  return about(name, [...verdicts, ...judge([before, await reading()], slack)]);
}

async function testRounds(count: number): Promise<Verdict[]> {
  const run = async (share: number): Promise<void> => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(
      node,
      pod,
      containerConfig("while :; do echo x; sleep 0.2; done"),
    );
    await streamRounds(node, containerId, share);
    await removeAllPods(node);
  };
  // What is loaded at the first use is no leak.
  await run(Math.min(100, count));
  const readings = [await reading()];
  for (let part = 0; part < 4; part += 1) {
    await run(Math.ceil(count / 4));
    readings.push(await reading());
  }
  return about(`${count} rounds`, judge(readings, slackOfRounds));
}

async function churn(images: string[]): Promise<Verdict[]> {
  say(`churn of ${workers} workers for ${minutes} min, --seed ${seed}`);
  const all: Counts = {
    ...{ pods: 0, containers: 0, execs: 0, streams: 0, logs: 0 },
    ...{ reads: 0, pulls: 0, again: 0, lost: 0 },
  };
  let faultUntilMs = 0;
  const ran = new Map<string, number>();
  const deps: ChurnDeps = {
    node,
    images,
    counts: all,
    // What a fault broke is asked again for some seconds after its end.
    faulty: () => performance.now() < faultUntilMs,
  };
  const random = seeded(seed);
  const stop = new AbortController();
  const events = followEvents(deps, stop.signal);
  const readings: Gauges[] = [];
  // One reading for each tenth of the time, but at least 15 s apart.
  const phaseMs = Math.max(15_000, (minutes * 60_000) / 10);
  const endMs = performance.now() + minutes * 60_000;
  while (performance.now() < endMs || readings.length < 3) {
    const phase = new AbortController();
    const phaseEndMs = performance.now() + phaseMs;
    const over = (): boolean => performance.now() >= phaseEndMs || phase.signal.aborted;
    const work = async (lane: number): Promise<void> => {
      const own = seeded(seed + lane + readings.length * 1000);
      while (!over()) await (own() < 0.15 ? pullOne(deps, own) : livePod(deps, own));
    };
    const read = async (): Promise<void> => {
      while (!over()) {
        await readAll(deps);
        await sleep(500);
      }
    };
    const faults = values["no-faults"]
      ? Promise.resolve()
      : injectFaults(soakFaults(plugins, engine, random), {
          random,
          pauseMs: 3000,
          signal: phase.signal,
          began: (name) => {
            faultUntilMs = Infinity;
            ran.set(name, (ran.get(name) ?? 0) + 1);
          },
          ended: () => (faultUntilMs = performance.now() + 12_000),
        });
    const lanes = [read(), ...Array.from({ length: workers }, (_, lane) => work(lane))];
    const first = Promise.all(lanes).catch((error: unknown) => {
      phase.abort();
      throw error;
    });
    const timer = setTimeout(() => phase.abort(), phaseMs);
    const results = await Promise.allSettled([first, faults, ...lanes]);
    clearTimeout(timer);
    const broken = results.find((result) => result.status === "rejected");
    if (broken !== undefined) throw broken.reason;
    node.proxy.reset();
    await until(async () => {
      const { status } = await node.runtime.status({});
      // What the machine's firewall does with pods from elsewhere is no matter of the soak.
      const own = status?.conditions.filter(({ type }) => type !== "PodForwarding");
      return own?.every((condition) => condition.status) === true;
    }, 15_000);
    readings.push(await reading());
  }
  stop.abort();
  await events;
  say(
    Object.entries(all)
      .map(([name, count]) => `${count} ${name}`)
      .join(", "),
  );
  say(`faults: ${[...ran].map(([name, count]) => `${count} × ${name}`).join("; ")}`);
  // A few minutes' readings say nothing in MiB/h.
  if (minutes >= 60) {
    say(`memory slope after the first reading: ${memorySlope(readings.slice(1)).toFixed(1)} MiB/h`);
  }
  return judge(readings);
}
