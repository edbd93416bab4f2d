import type { BenchAnswer, BenchRequest } from "./client.ts";
import { Figures } from "./figures.ts";
import { cpuOf, memoryOf } from "./processes.ts";
import type { Subject } from "./subjects.ts";

export interface MemoryFigure {
  scenario: string;
  subject: string;
  process: string;
  residentMib: number;
  processes: number;
}

export interface PollingFigure {
  scenario: string;
  subject: string;
  process: string;
  /** Of one core. */
  cpuPercent: number;
}

const methodsOfReads = [
  "Version",
  "ListContainers",
  "ListPodSandbox",
  "ContainerStatus",
  "PodSandboxStatus",
];
const methodsOfStats = ["ListContainerStats", "ListPodSandboxStats"];
/** What the raw API has a form of. */
const rawMethods = new Set(methodsOfReads);

/** Blocks of every contender in turn, in another order each time. */
export class Plan {
  readonly figures = new Figures();
  readonly memory: MemoryFigure[] = [];
  readonly polling: PollingFigure[] = [];
  readonly #subjects: Subject[];
  readonly #say: (text: string) => void;
  /** Scales the number of blocks: 1 is a full run. */
  readonly #effort: number;
  constructor(subjects: Subject[], effort: number, say: (text: string) => void) {
    this.#subjects = subjects;
    this.#effort = effort;
    this.#say = say;
  }

  /** Pods that are started and stopped at once, so that the engine stays as it is. */
  async lives(scenario: string, blocks: number, request: BenchRequest): Promise<void> {
    await this.#blocks(scenario, blocks, this.#subjects, async (subject, keep) => {
      const started = await subject.run(request);
      const ids = (started.pods ?? []).map(({ sandbox }) => sandbox);
      const stop: BenchRequest = { op: "stop", ids };
      if (request.parallel !== undefined) stop.parallel = request.parallel;
      const stopped = await subject.run(stop);
      if (!keep) return;
      this.#keep(scenario, subject, started);
      this.#keep(scenario, subject, stopped);
    });
  }

  /** Starts pods that stay, until each has `total`; pods a second of each block. */
  async fill(scenario: string, total: number, perBlock: number, parallel: number): Promise<void> {
    this.#say(scenario);
    const subjects = this.#subjects.filter(({ kind }) => kind === "cri");
    for (let block = 0; subjects.some(({ pods }) => pods.length < total); block += 1) {
      for (const subject of inTurn(subjects, block)) {
        const count = Math.min(perBlock, total - subject.pods.length);
        if (count <= 0) continue;
        const answer = await subject.run({ op: "start", count, parallel });
        subject.pods.push(...(answer.pods ?? []));
        this.#keep(scenario, subject, answer);
        const key = { scenario, call: "pods/s", subject: subject.name };
        this.figures.add(key, [count / (answer.wallMs / 1000)]);
      }
    }
  }

  /** Containers that are created and not started, spread over the pods. */
  async createUpTo(total: number): Promise<void> {
    this.#say(`containers up to ${total}`);
    for (const subject of this.#subjects.filter(({ kind }) => kind === "cri")) {
      const count = total - subject.pods.reduce((sum, pod) => sum + pod.containers.length, 0);
      const ids = subject.pods.map(({ sandbox }) => sandbox);
      await subject.run({ op: "create", count, ids, parallel: 4 });
    }
  }

  async reads(scenario: string, blocks: number, count: number): Promise<void> {
    const cri = this.#subjects.filter(({ kind }) => kind === "cri");
    const home = cri[0];
    if (home === undefined) return;
    for (const method of methodsOfReads) {
      await this.#calls(scenario, blocks, { op: "call", method, count }, this.#subjects);
    }
    const ofStats = Math.ceil(count / 8);
    for (const method of methodsOfStats) {
      await this.#calls(scenario, blocks, { op: "call", method, count: ofStats }, cri);
    }
  }

  async exec(scenario: string, blocks: number, count: number): Promise<void> {
    await this.#calls(scenario, blocks, { op: "exec", count }, this.#subjects);
  }

  /** VmRSS of every named process, helpers included. */
  remember(scenario: string): void {
    for (const subject of this.#subjects) {
      if (subject.kind === "raw") continue;
      for (const [process, pid] of subject.processes()) {
        this.memory.push({ scenario, subject: subject.name, process, ...memoryOf(pid) });
      }
    }
  }

  /** A kubelet's two lists a second and nothing else: what the processes need for it. */
  async poll(scenario: string, blocks: number, seconds: number): Promise<void> {
    this.#say(scenario);
    const sums = new Map<string, { ms: number; seconds: number }>();
    for (let block = 0; block < Math.ceil(blocks * this.#effort); block += 1) {
      const cri = this.#subjects.filter(({ kind }) => kind === "cri");
      for (const subject of inTurn(cri, block)) {
        const table = subject.processes();
        const before = cpuOf(table);
        for (let second = 0; second < seconds; second += 1) {
          await subject.run({ op: "call", method: "ListPodSandbox", count: 1 });
          await subject.run({ op: "call", method: "ListContainers", count: 1 });
          await new Promise((resolve) => setTimeout(resolve, 1000));
        }
        for (const [process, ms] of cpuOf(table)) {
          const key = `${subject.name}|${process}`;
          const sum = sums.get(key) ?? { ms: 0, seconds: 0 };
          const used = ms - (before.get(process) ?? 0);
          sums.set(key, { ms: sum.ms + used, seconds: sum.seconds + seconds });
        }
      }
    }
    for (const [key, { ms, seconds: over }] of sums) {
      const [subject = "", process = ""] = key.split("|");
      this.polling.push({ scenario, subject, process, cpuPercent: ms / over / 10 });
    }
  }

  async stopAll(scenario: string, parallel: number): Promise<void> {
    this.#say(scenario);
    for (const subject of this.#subjects) {
      const ids = subject.pods.splice(0).map(({ sandbox }) => sandbox);
      if (ids.length === 0) continue;
      const answer = await subject.run({ op: "stop", ids, parallel });
      const key = { scenario, call: "pods/s", subject: subject.name };
      this.figures.add(key, [ids.length / (answer.wallMs / 1000)]);
    }
  }

  async #calls(
    scenario: string,
    blocks: number,
    request: BenchRequest,
    subjects: Subject[],
  ): Promise<void> {
    const able = subjects.filter(
      ({ kind }) => kind === "cri" || request.op === "exec" || rawMethods.has(request.method ?? ""),
    );
    const home = subjects.find(({ kind }) => kind === "cri");
    const name = request.op === "exec" ? "ExecSync" : (request.method ?? "");
    await this.#blocks(`${scenario}: ${name}`, blocks, able, async (subject, keep) => {
      // The raw API is asked about the pods of the first contender: they share the engine.
      const { pods } = subject.kind === "raw" ? (home ?? subject) : subject;
      const sandboxes = name === "PodSandboxStatus";
      const ids = pods.map((pod) => (sandboxes ? pod.sandbox : (pod.containers[0] ?? "")));
      const before = cpuOf(subject.processes());
      let answer: BenchAnswer;
      try {
        answer = await subject.run({ ...request, ids });
      } catch (error) {
        // A peer that cannot do it has no figure; ours has to.
        if (subject === home || subject.kind === "raw") throw error;
        this.#say(`${subject.name}: ${String(error).slice(0, 200)}`);
        return;
      }
      if (!keep) return;
      this.#keep(scenario, subject, answer);
      for (const [process, ms] of cpuOf(subject.processes())) {
        const key = { scenario, call: name, subject: subject.name, process };
        this.figures.addCpu(key, ms - (before.get(process) ?? 0), request.count ?? 1);
      }
    });
  }

  /** The first block warms caches and the optimizer and is not kept. */
  async #blocks(
    what: string,
    blocks: number,
    subjects: Subject[],
    work: (subject: Subject, keep: boolean) => Promise<void>,
  ): Promise<void> {
    this.#say(what);
    for (let block = 0; block <= Math.ceil(blocks * this.#effort); block += 1) {
      for (const subject of inTurn(subjects, block)) await work(subject, block > 0);
    }
  }

  #keep(scenario: string, subject: Subject, answer: BenchAnswer): void {
    for (const [call, ms] of Object.entries(answer.ms)) {
      this.figures.add({ scenario, call, subject: subject.name }, ms);
    }
  }
}

/** Each goes first once, and who follows whom changes as well. */
function inTurn<T>(subjects: readonly T[], block: number): T[] {
  const at = block % Math.max(subjects.length, 1);
  const turned = [...subjects.slice(at), ...subjects.slice(0, at)];
  return Math.floor(block / Math.max(subjects.length, 1)) % 2 === 0 ? turned : turned.reverse();
}
