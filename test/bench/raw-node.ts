import { buffer } from "node:stream/consumers";
import { createDockerEngine } from "../../src/engine/docker-engine.ts";
import type { DockerEngine } from "../../src/engine/docker-engine.ts";
import type { ExecCreate } from "../../src/engine/engine.ts";
import type { ContainerCreate } from "../../src/engine/types.ts";
import { silentLogger } from "../../src/log.ts";
import { createNetwork } from "../../src/network/network.ts";
import type { Network } from "../../src/network/network.ts";
import type { NetworkAttachment } from "../../src/network/attachment.ts";
import { systemClock } from "../../src/sys/clock.ts";
import type { BenchAnswer, BenchPod, BenchRequest } from "./client.ts";
import type { ProcessTable } from "./processes.ts";
import type { RawPod, Subject } from "./subjects.ts";

/** The same requests through Dockline's own HTTP client and plugin runner: what its RPCs add. */
export class RawNodeSubject implements Subject {
  readonly name = "raw (Node)";
  readonly kind = "raw";
  pods: BenchPod[] = [];
  readonly processes: () => ProcessTable;
  readonly #engine: DockerEngine;
  readonly #network: Network;
  readonly #raw: RawPod;
  readonly #attachments = new Map<string, { attachment: NetworkAttachment; netns: string }>();
  readonly #members = new Map<string, string[]>();
  #serial = 0;

  constructor(options: {
    engineSocket: string;
    cniConfDir: string;
    pod: RawPod;
    processes: () => ProcessTable;
  }) {
    const endpoint = `unix://${options.engineSocket}`;
    this.#engine = createDockerEngine({ endpoint, log: silentLogger });
    this.#network = createNetwork({
      confDir: options.cniConfDir,
      log: silentLogger,
      clock: systemClock,
    });
    this.#raw = options.pod;
    this.processes = options.processes;
  }

  close(): void {
    this.#network.close();
    this.#engine.close();
  }

  async run(request: BenchRequest): Promise<BenchAnswer> {
    const ms: Record<string, number[]> = {};
    const began = performance.now();
    const pods: BenchPod[] = [];
    const stops = request.op === "stop" || request.op === "clear";
    const ids = request.op === "clear" ? [...this.#members.keys()] : (request.ids ?? []);
    const count = stops ? ids.length : (request.count ?? 0);
    const id = (at: number): string => ids[at % Math.max(ids.length, 1)] ?? "";
    const work = async (at: number): Promise<void> => {
      if (request.op === "start") pods.push(await this.#startPod(request.hostNetwork === true, ms));
      else if (stops) await this.#stopPod(id(at), ms);
      else if (request.op === "exec") await timed(ms, "ExecSync", () => this.#exec(id(at)));
      else await timed(ms, request.method ?? "", () => this.#call(request.method ?? "", id(at)));
    };
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count) await work(next++);
    };
    await Promise.all(Array.from({ length: request.parallel ?? 1 }, lane));
    return { ms, wallMs: performance.now() - began, pods, items: 0, bytes: 0 };
  }

  async #startPod(hostNetwork: boolean, ms: Record<string, number[]>): Promise<BenchPod> {
    const engine = this.#engine;
    const number = ++this.#serial;
    const { bodies, oldId } = this.#raw;
    const began = performance.now();
    const sandbox = await timed(ms, "RunPodSandbox", async () => {
      const body = hostNetwork ? bodies.hostSandbox : bodies.sandbox;
      const { id } = await engine.createContainer(
        `rawbench_node_pause_${process.pid}_${number}`,
        body as ContainerCreate,
      );
      await engine.startContainer(id);
      const inspect = await engine.inspectContainer(id);
      if (hostNetwork) return id;
      const netns = inspect.NetworkSettings.SandboxKey ?? "";
      const attachment = await this.#network.setUp({
        containerId: id,
        netns,
        podName: `raw-${number}`,
        podNamespace: "bench",
        podUid: `raw-${number}`,
        portMappings: [],
        beforeAdd: () => Promise.resolve(),
      });
      this.#attachments.set(id, { attachment, netns });
      return id;
    });
    const body = JSON.parse(
      JSON.stringify(bodies.container).replaceAll(oldId, sandbox),
    ) as ContainerCreate;
    const name = `rawbench_node_main_${process.pid}_${number}`;
    const { id } = await timed(ms, "CreateContainer", () => engine.createContainer(name, body));
    await timed(ms, "StartContainer", () => engine.startContainer(id));
    (ms["pod"] ??= []).push(performance.now() - began);
    this.#members.set(sandbox, [id]);
    return { sandbox, containers: [id] };
  }

  async #stopPod(sandbox: string, ms: Record<string, number[]>): Promise<void> {
    for (const id of this.#members.get(sandbox) ?? []) {
      await timed(ms, "StopContainer", () => this.#engine.stopContainer(id, 10));
      await timed(ms, "RemoveContainer", () => this.#engine.removeContainer(id));
    }
    await timed(ms, "StopPodSandbox", async () => {
      const attached = this.#attachments.get(sandbox);
      if (attached !== undefined) {
        await this.#network.tearDown(attached.attachment, attached.netns);
      }
      await this.#engine.killContainer(sandbox, "SIGKILL");
    });
    await timed(ms, "RemovePodSandbox", () => this.#engine.removeContainer(sandbox));
    this.#members.delete(sandbox);
    this.#attachments.delete(sandbox);
  }

  async #exec(id: string): Promise<void> {
    const execId = await this.#engine.createExec(id, this.#raw.bodies.exec as ExecCreate);
    await buffer(await this.#engine.startExec(execId, false));
    const { ExitCode } = await this.#engine.inspectExec(execId);
    if (ExitCode !== 0) throw new Error(`exit code ${String(ExitCode)}`);
  }

  async #call(method: string, id: string): Promise<void> {
    const kind = method === "ListPodSandbox" ? "podsandbox" : "container";
    if (method === "ListContainers" || method === "ListPodSandbox")
      await this.#engine.listContainers([`io.kubernetes.docker.type=${kind}`]);
    else if (method === "Version") await this.#engine.ping();
    else await this.#engine.inspectContainer(id);
  }
}

async function timed<T>(
  ms: Record<string, number[]>,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const began = performance.now();
  const result = await work();
  (ms[name] ??= []).push(performance.now() - began);
  return result;
}
