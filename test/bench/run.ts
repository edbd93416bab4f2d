import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchRequest } from "./client.ts";
import { bringUp } from "./contenders.ts";
import type { Contenders, GivenEndpoint } from "./contenders.ts";
import type { BenchEngine } from "./engine.ts";
import { judge } from "./goals.ts";
import { describeMachine, LoadWatch } from "./machine.ts";
import { Plan } from "./plan.ts";
import type { Report } from "./report.ts";
import type { Counts } from "./short.ts";

export interface RunOptions {
  folder: string;
  engine: BenchEngine;
  counts: Counts;
  /** 1 is a full run: about 15 minutes on two processors. */
  effort: number;
  /** Pods at the second and containers at the third size; 120 and 500 by default. */
  sizes: { pods: number; containers: number };
  withPeer: boolean;
  given: GivenEndpoint[];
  say: (text: string) => void;
}

const restarts = 3;

/** The full form: everything that has a time. */
export async function runBenchmark(options: RunOptions): Promise<Report> {
  const { folder, engine, counts, effort, sizes, say } = options;
  const began = performance.now();
  // Before it begins: the checkout may move on while it runs.
  const machine = describeMachine(engine.version);
  const load = new LoadWatch();
  const contenders = await bringUp({
    folder: join(folder, "run"),
    engine,
    bodies: counts.pod,
    withPeer: options.withPeer,
    given: options.given,
  });
  try {
    const { subjects } = contenders;
    const note = (text: string): void => {
      load.look();
      say(text);
    };
    const plan = new Plan(subjects, effort, note);
    const four: BenchRequest = { op: "start", count: 4 };
    await plan.lives("one at a time", 8, four);
    await plan.lives("one at a time, host network", 5, { ...four, hostNetwork: true });
    await plan.fill("20 pods, one at a time", 20, 4, 1);
    plan.remember("20 pods");
    await plan.reads("20 pods", 10, 40);
    await plan.exec("20 pods", 10, 5);
    const many = `${sizes.pods} pods`;
    await plan.fill(`${many}, 4 at once`, sizes.pods, 20, 4);
    plan.remember(many);
    await plan.reads(many, 12, 40);
    await plan.exec(many, 5, 5);
    await plan.poll(`${many}, two lists a second`, 2, 15);
    await plan.createUpTo(sizes.containers);
    const most = `${sizes.containers} containers`;
    await new Promise((resolve) => setTimeout(resolve, 5000));
    plan.remember(most);
    await plan.reads(most, 10, 40);
    const { restartMs, delay } = await restart(contenders, folder, sizes, note);
    plan.remember(`${most}, after a restart`);
    await plan.stopAll(`${many} stopped, 4 at once`, 4);
    const measured = {
      figures: plan.figures,
      memory: plan.memory,
      restartMs,
      delayP99Ms: delay?.["p99"],
    };
    return {
      machine,
      minutes: (performance.now() - began) / 60_000,
      load: load.seen,
      subjects: subjects.map(({ name }) => name),
      figures: plan.figures,
      memory: plan.memory,
      polling: plan.polling,
      restartMs,
      delay,
      verdicts: judge(measured),
      counts: counts.counts,
      idle: counts.idle,
    };
  } finally {
    await contenders.close();
  }
}

/** kill -9 and a start each time; the last one with the probe of the event loop. */
async function restart(
  { subjects, dockline, client }: Contenders,
  folder: string,
  sizes: RunOptions["sizes"],
  say: (text: string) => void,
): Promise<{ restartMs: number[]; delay: Record<string, number> | undefined }> {
  say("restart");
  const restartMs: number[] = [];
  const own = subjects[0];
  if (own === undefined) return { restartMs, delay: undefined };
  const listed = { op: "listed", endpoint: dockline.endpoint, count: sizes.containers };
  for (let round = 0; round < restarts; round += 1) {
    await dockline.end("SIGKILL");
    const began = performance.now();
    dockline.start();
    await client.ask(listed);
    restartMs.push(performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
  const file = join(folder, "delay.json");
  process.env["DOCKLINE_BENCH_DELAY_FILE"] = file;
  await dockline.end("SIGTERM");
  dockline.start(join(import.meta.dirname, "event-loop-probe.ts"));
  await client.ask(listed);
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  await dumpDelay(dockline.pid);
  for (let round = 0; round < 5; round += 1) {
    await own.run({ op: "call", method: "ListContainers", count: 100 });
    await own.run({ op: "call", method: "ListPodSandbox", count: 100 });
  }
  await dumpDelay(dockline.pid);
  const delay = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>;
  await dockline.end("SIGTERM");
  dockline.start();
  await client.ask(listed);
  return { restartMs, delay };
}

async function dumpDelay(pid: number): Promise<void> {
  process.kill(pid, "SIGUSR2");
  await new Promise((resolve) => setTimeout(resolve, 300));
}
