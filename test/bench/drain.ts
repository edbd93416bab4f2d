import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, serviceClient } from "../../src/cri/client.ts";
import type { ServiceClient } from "../../src/cri/client.ts";
import { createDockerEngine } from "../../src/engine/docker-engine.ts";
import type { DockerEngine } from "../../src/engine/docker-engine.ts";
import { RuntimeService } from "../../src/gen/runtime/v1/api_pb.js";
import { silentLogger } from "../../src/log.ts";
import type { TestNode } from "../support/node.ts";
import { containerConfig, hostSandboxConfig } from "../support/pods.ts";
import { TermMarks, markTerm, uptimeSeconds } from "../support/term-marks.ts";
import { busybox, ensureImage } from "../support/test-images.ts";
import { until } from "../support/until.ts";
import { DocklineUnderTest } from "./dockline.ts";

/** A node of 110 pods with three containers each. */
const many = Number(process.env["DOCKLINE_BENCH_STOPS"] ?? "330");
const graceSeconds = Number(process.env["DOCKLINE_BENCH_GRACE"] ?? "30");
const perPod = 3;
const atOnce = 6;
const probes = 15;

type Runtime = ServiceClient<typeof RuntimeService>;

/** Seconds from the first stop request to the last TERM, and to the last answer. */
interface Drain {
  lastTerm: number;
  lastEnd: number;
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function inGroups(count: number, work: (at: number) => Promise<void>): Promise<void> {
  for (let at = 0; at < count; at += atOnce) {
    const group = Array.from({ length: Math.min(atOnce, count - at) }, (_, n) => work(at + n));
    await Promise.all(group);
  }
}

/** `meanwhile` begins with the last TERM. */
async function drain(
  marks: TermMarks,
  stop: (at: number) => Promise<unknown>,
  meanwhile: () => Promise<void> = () => Promise.resolve(),
): Promise<Drain> {
  await until(() => marks.up === many, 120_000, "all are up");
  const begun = uptimeSeconds();
  const stops = Promise.all(Array.from({ length: many }, (_, at) => stop(at)));
  await until(() => marks.terms.length === many, graceSeconds * 10_000, "the last TERM");
  await meanwhile();
  await stops;
  const lastEnd = uptimeSeconds() - begun;
  return { lastTerm: Math.max(...marks.terms) - begun, lastEnd };
}

async function rawDrain(engine: DockerEngine, socketPath: string, folder: string): Promise<Drain> {
  const marks = new TermMarks(join(folder, `raw-${uptimeSeconds()}`));
  const ids: string[] = [];
  try {
    await inGroups(many, async (at) => {
      const { id } = await engine.createContainer(`drain-${process.pid}-${at}`, {
        Image: busybox,
        Cmd: ["sh", "-c", markTerm(`c${at}`)],
        HostConfig: { NetworkMode: "host", Binds: [`${marks.folder}:/marks`] },
      } as unknown as Parameters<DockerEngine["createContainer"]>[1]);
      ids.push(id);
      await engine.startContainer(id);
    });
    return await drain(marks, (at) =>
      post(socketPath, `/containers/${ids[at]}/stop?t=${graceSeconds}`),
    );
  } finally {
    await inGroups(ids.length, async (at) => engine.removeContainer(ids[at] ?? ""));
  }
}

function post(socketPath: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, method: "POST", agent: false }, (answer) => {
      answer.resume();
      answer.on("end", resolve);
    });
    call.on("error", reject);
    call.end();
  });
}

/** Milliseconds of each of four calls about other containers; medians. */
async function beside(
  runtime: Runtime,
  pod: string,
  other: string,
): Promise<Record<string, number>> {
  const node = { logDir: "/tmp" } as TestNode;
  const taken: Record<string, number[]> = { create: [], start: [], exec: [], list: [] };
  const timed = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const begun = performance.now();
    const answer = await work();
    taken[name]?.push(performance.now() - begun);
    return answer;
  };
  for (let at = 0; at < probes; at += 1) {
    const metadata = { name: `b${uptimeSeconds()}-${at}`.replace(".", "-") };
    const config = containerConfig("sleep 1000", { metadata, logPath: "" });
    const sandboxConfig = hostSandboxConfig(node);
    const { containerId } = await timed("create", () =>
      runtime.createContainer({ podSandboxId: pod, config, sandboxConfig }),
    );
    await timed("start", () => runtime.startContainer({ containerId }));
    await timed("exec", () =>
      runtime.execSync({ containerId: other, cmd: ["true"], timeout: 20n }),
    );
    await timed("list", () => runtime.listContainers({}));
    await runtime.removeContainer({ containerId });
  }
  return Object.fromEntries(Object.entries(taken).map(([name, ms]) => [name, median(ms)]));
}

/**
 * All containers of a node stopped at once, each with a grace period that it uses up: Dockline beside
 * as many stop requests to Docker itself, and what other calls take meanwhile. Needs the bundle.
 */
export async function benchDrain(socketPath: string): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "dockline-drain-"));
  const engine = createDockerEngine({ endpoint: `unix://${socketPath}`, log: silentLogger });
  await ensureImage(engine, busybox);
  const raw = [await rawDrain(engine, socketPath, folder)];

  const dockline = new DocklineUnderTest({
    folder: join(folder, "d"),
    engineSocket: socketPath,
    cniConfDir: join(folder, "cni"),
  });
  dockline.start();
  const connection = connect(dockline.endpoint);
  const runtime = serviceClient(connection, RuntimeService);
  const pods: string[] = [];
  const lines: string[] = [];
  try {
    await until(async () => {
      const answer = await runtime.status({}, { timeoutMs: 3_000 }).catch(() => undefined);
      return (
        answer?.status?.conditions.some(({ type, status }) => type === "RuntimeReady" && status) ===
        true
      );
    }, 60_000);
    const node = { logDir: join(folder, "pods") } as TestNode;
    const run = async (): Promise<string> => {
      const { podSandboxId } = await runtime.runPodSandbox({ config: hostSandboxConfig(node) });
      pods.push(podSandboxId);
      return podSandboxId;
    };
    const startIn = async (
      pod: string,
      name: string,
      line: string,
      mount?: string,
    ): Promise<string> => {
      const mounts = mount === undefined ? [] : [{ hostPath: mount, containerPath: "/marks" }];
      const config = containerConfig(line, { metadata: { name }, logPath: "", mounts });
      const sandboxConfig = hostSandboxConfig(node);
      const { containerId } = await runtime.createContainer({
        podSandboxId: pod,
        config,
        sandboxConfig,
      });
      await runtime.startContainer({ containerId });
      return containerId;
    };
    const marks = new TermMarks(join(folder, "marks"));
    const ids: string[] = [];
    await inGroups(Math.ceil(many / perPod), async (at) => {
      const pod = await run();
      for (let n = at * perPod; n < Math.min(many, (at + 1) * perPod); n += 1) {
        ids.push(await startIn(pod, `c${n}`, markTerm(`c${n}`), marks.folder));
      }
    });
    const home = await run();
    const other = await startIn(home, "other", "while :; do sleep 1000; done");
    const alone = await beside(runtime, home, other);
    let during: Record<string, number> = {};
    const own = await drain(
      marks,
      (at) => runtime.stopContainer({ containerId: ids[at] ?? "", timeout: BigInt(graceSeconds) }),
      async () => void (during = await beside(runtime, home, other)),
    );
    await inGroups(pods.length, async (at) => {
      await runtime.removePodSandbox({ podSandboxId: pods[at] ?? "" });
    });
    pods.length = 0;
    raw.push(await rawDrain(engine, socketPath, folder));
    const lastTerm = median(raw.map((each) => each.lastTerm));
    const lastEnd = median(raw.map((each) => each.lastEnd));
    const both = (name: string, ours: number, theirs: number): string =>
      `${name.padEnd(28)} Dockline ${ours.toFixed(1)} s, raw ${theirs.toFixed(1)} s, ${(ours / theirs).toFixed(2)} of it`;
    lines.push(both(`${many} stops: last TERM`, own.lastTerm, lastTerm));
    lines.push(both(`${many} stops: last end`, own.lastEnd, lastEnd));
    for (const [name, ms] of Object.entries(during)) {
      const before = alone[name] ?? Number.NaN;
      lines.push(
        `${`${name} while they wait`.padEnd(28)} ${ms.toFixed(1)} ms, alone ${before.toFixed(1)} ms, ${(ms / before).toFixed(2)} of it`,
      );
    }
    return lines;
  } finally {
    for (const pod of pods)
      await runtime.removePodSandbox({ podSandboxId: pod }).catch(() => undefined);
    connection.close();
    await dockline.end("SIGTERM");
    engine.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
