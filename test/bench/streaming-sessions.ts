import { readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { silentLogger } from "../../src/log.ts";
import { createDialler } from "../../src/streaming/dialler.ts";

const kibibyte = 1024;
const sessions = 50;
const idleMs = 10_000;

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const helperReadyGoalMs = 5;
const helperGoalKib = 2048;

export function verdict(value: number, limit: number, unit: string): string {
  return `goal ${limit.toFixed(2).replace(/\.?0+$/, "")} ${unit}: ${value <= limit ? "met" : "missed"}`;
}

/** From nothing to a first connection into the pod, a hundred times; ms. */
export async function benchHelperStart(netns: string, port: number): Promise<string> {
  const times: number[] = [];
  for (let round = 0; round < 100; round += 1) {
    const began = performance.now();
    const dialler = createDialler({ netns, log: silentLogger });
    const socket = await dialler.dial(port, new AbortController().signal);
    times.push(performance.now() - began);
    socket.destroy();
    dialler.close();
    await sleep(20);
  }
  times.sort((a, b) => a - b);
  const megabytes = (process.memoryUsage.rss() / kibibyte / kibibyte).toFixed(0);
  return `port-forward helper started and connected, by a process of ${megabytes} MB  p50 ${median(times).toFixed(2)} ms, p99 ${(times[98] ?? NaN).toFixed(2)} ms, ${verdict(median(times), helperReadyGoalMs, "ms")}`;
}

/**
 * What idle sessions cost: memory of this process, which is the server, for each; that of their
 * helpers; and CPU of both in ten seconds. `open` starts the client that holds the sessions.
 */
export async function benchIdle(
  name: string,
  open: (count: number, holdMs: number) => Promise<unknown>,
): Promise<string> {
  const before = await heldMemory();
  const over = open(sessions, idleMs + 5_000);
  await sleep(4_000);
  const helpers = children().filter((pid) => commandOf(pid).startsWith("dockline-dial"));
  const after = await heldMemory();
  const own = process.cpuUsage();
  const theirs = helpers.map(cpuTicks);
  await sleep(idleMs);
  const used = process.cpuUsage(own);
  const ticks = helpers.reduce((sum, pid, at) => sum + cpuTicks(pid) - (theirs[at] ?? 0), 0);
  const pss = helpers.map(pssKib);
  await over;
  const each = (after - before) / sessions / kibibyte;
  const helper =
    helpers.length === 0
      ? ""
      : `, helper ${median(pss).toFixed(0)} KiB PSS (${helpers.length} of them, ${(10 * ticks) / sessions} ms CPU; ${verdict(Math.max(...pss), helperGoalKib, "KiB")})`;
  return `${name.padEnd(30)} ${each.toFixed(0)} KiB a session${helper}, CPU in ${idleMs / 1000} s: ${((used.user + used.system) / 1000 / sessions).toFixed(2)} ms a session`;
}

setFlagsFromString("--expose_gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** What the process cannot give back, which its resident size hides in what it has given back late. */
async function heldMemory(): Promise<number> {
  // What was used a moment ago is only let go in the next turns.
  for (let round = 0; round < 3; round += 1) {
    collectGarbage();
    await sleep(200);
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function children(): string[] {
  return readdirSync("/proc/self/task").flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, "utf8")
      .split(" ")
      .filter((pid) => pid.trim() !== ""),
  );
}

function commandOf(pid: string): string {
  return readFileSync(`/proc/${pid}/comm`, "utf8");
}

function pssKib(pid: string): number {
  return Number(/^Pss: +(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]);
}

/** User and system time in hundredths of a second. */
function cpuTicks(pid: string): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
