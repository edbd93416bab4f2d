import type { ExecCreate } from "../../src/engine/engine.ts";
import type { ExecInspect } from "../../src/engine/types.ts";
import type { FakeContainer } from "./fake-container.ts";
import { refuse } from "./fake-errors.ts";
import { FakeHijack } from "./fake-streams.ts";

export interface FakeExec {
  id: string;
  containerId: string;
  body: ExecCreate;
  running: boolean;
  started: boolean;
  exitCode: number | null;
  stream: FakeHijack | undefined;
}

/** What a command does: reads and writes its stream, resolves with its exit code. */
export type ExecProgram = (exec: FakeExec, stream: FakeHijack) => Promise<number>;

interface Home {
  newId(): string;
  get(idOrName: string, operation: string): FakeContainer;
}

/** Execs and attached clients of the fake engine. */
export class FakeExecs {
  /** Default: ends at once with code 0 and without output. */
  program: ExecProgram = () => Promise.resolve(0);
  /** Called with each attach: the container's side of the connection. */
  onAttach: (container: FakeContainer, stream: FakeHijack) => void = () => undefined;
  readonly byId = new Map<string, FakeExec>();
  readonly #attached = new Map<string, Set<FakeHijack>>();
  readonly #home: Home;
  readonly #onEvent: (
    action: string,
    container: FakeContainer,
    extra: Record<string, string>,
  ) => void;

  constructor(
    home: Home,
    onEvent: (action: string, container: FakeContainer, extra: Record<string, string>) => void,
  ) {
    this.#home = home;
    this.#onEvent = onEvent;
  }

  create(containerId: string, body: ExecCreate): string {
    const operation = "create exec";
    const container = this.#home.get(containerId, operation);
    if (container.status === "paused") {
      throw refuse(
        409,
        operation,
        `Container ${container.id} is paused, unpause the container before exec`,
      );
    }
    if (container.status !== "running") {
      throw refuse(409, operation, `Container ${container.id} is not running`);
    }
    const id = this.#home.newId();
    this.byId.set(id, {
      id,
      containerId: container.id,
      body: structuredClone(body),
      running: false,
      started: false,
      exitCode: null,
      stream: undefined,
    });
    this.#onEvent(`exec_create: ${body.Cmd.join(" ")}`, container, { execID: id });
    return id;
  }

  start(execId: string): FakeHijack {
    const operation = "start exec";
    const exec = this.#get(execId, operation);
    const container = this.#home.get(exec.containerId, operation);
    if (exec.started) throw refuse(409, operation, `exec command ${execId} has already run`);
    exec.started = true;
    exec.running = true;
    exec.stream = new FakeHijack(exec.body.Tty);
    this.#onEvent(`exec_start: ${exec.body.Cmd.join(" ")}`, container, { execID: execId });
    const stream = exec.stream;
    this.program(exec, stream).then(
      (exitCode) => this.#ended(exec, exitCode),
      () => this.#ended(exec, 126),
    );
    return stream;
  }

  inspect(execId: string): ExecInspect {
    const exec = this.#get(execId, "inspect exec");
    return {
      ID: exec.id,
      Running: exec.running,
      ExitCode: exec.exitCode,
      Pid: exec.started ? 4242 : 0,
      ContainerID: exec.containerId,
    };
  }

  attach(container: FakeContainer): FakeHijack {
    const stream = new FakeHijack(container.body.Tty ?? false);
    const all = this.#attached.get(container.id) ?? new Set();
    this.#attached.set(container.id, all.add(stream));
    stream.client.once("close", () => all.delete(stream));
    this.onAttach(container, stream);
    return stream;
  }

  /** Every process of the container is gone: execs end with 137, attached clients see the end. */
  containerDied(containerId: string): void {
    for (const stream of this.#attached.get(containerId) ?? []) stream.end();
    this.#attached.delete(containerId);
    for (const exec of this.byId.values()) {
      if (exec.containerId === containerId && exec.running) this.#ended(exec, 137);
    }
  }

  resize(execId: string): void {
    this.#get(execId, "resize exec");
  }

  #get(execId: string, operation: string): FakeExec {
    const exec = this.byId.get(execId);
    if (exec === undefined) throw refuse(404, operation, `No such exec instance: ${execId}`);
    return exec;
  }

  #ended(exec: FakeExec, exitCode: number): void {
    if (!exec.running) return;
    exec.running = false;
    exec.exitCode = exitCode;
    exec.stream?.end();
    const container = this.#home.get(exec.containerId, "exec");
    this.#onEvent("exec_die", container, { execID: exec.id, exitCode: String(exitCode) });
  }
}
