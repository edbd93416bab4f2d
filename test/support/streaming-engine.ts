import { duplexPair } from "node:stream";
import type { Duplex } from "node:stream";
import { EngineError } from "../../src/engine/errors.ts";
import type { ExecCreate } from "../../src/engine/engine.ts";
import type { ContainerInspect, ExecInspect } from "../../src/engine/types.ts";
import type { StreamingServerDeps } from "../../src/streaming/deps.ts";

/** One Docker frame of output without a tty. */
export function outputFrame(stream: "stdout" | "stderr", text: string | Buffer): Buffer {
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(8);
  head.writeUInt8(stream === "stdout" ? 1 : 2, 0);
  head.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

/** The process's side of an exec or attach. */
export interface FakeProcess {
  stream: Duplex;
  create: ExecCreate | undefined;
  sizes: string[];
  /** Ends the output; the exit code shows in the inspect from then on. */
  exit(code: number): void;
  /** As when Docker cannot start an exec: it is over, and the reason stands in the place of output. */
  refuse(code: number, output: Buffer | string): void;
}

/**
 * The engine calls that the streaming server makes, with `run` in the place of the process. For the
 * order of events that a real engine cannot be made to show.
 */
export class StreamingEngine {
  readonly processes: FakeProcess[] = [];
  readonly attachOptions: { stdin: boolean; detachKeys: string | Uint8Array }[] = [];
  container: { Running: boolean; Tty: boolean; OpenStdin: boolean; StdinOnce: boolean } = {
    ...{ Running: true, Tty: false, OpenStdin: true, StdinOnce: false },
  };
  readonly #run: (process: FakeProcess) => void;
  readonly #execs = new Map<
    string,
    { create: ExecCreate; inspect: ExecInspect; sizes: string[] }
  >();

  constructor(run: (process: FakeProcess) => void) {
    this.#run = run;
  }

  get calls(): StreamingServerDeps["engine"] {
    return {
      createExec: (containerId, create) => {
        const id = `exec${this.#execs.size}`;
        const inspect = {
          ID: id,
          Running: false,
          ExitCode: null,
          Pid: 0,
          ContainerID: containerId,
        };
        this.#execs.set(id, { create, inspect, sizes: [] });
        return Promise.resolve(id);
      },
      startExec: (id) => {
        const exec = this.#exec(id);
        Object.assign(exec.inspect, { Running: true, Pid: 4242 });
        return Promise.resolve(
          this.#start(exec.create, exec.sizes, (code, pid = 4242) => {
            Object.assign(exec.inspect, { Running: false, ExitCode: code, Pid: pid });
          }),
        );
      },
      inspectExec: (id) => Promise.resolve({ ...this.#exec(id).inspect }),
      resizeExec: (id, width, height) => {
        this.#exec(id).sizes.push(`${width}x${height}`);
        return Promise.resolve();
      },
      attachContainer: (_id, options) => {
        this.attachOptions.push(options);
        return Promise.resolve(this.#start(undefined, [], () => undefined));
      },
      resizeContainer: () => Promise.resolve(),
      inspectContainer: () => {
        const { Running, ...Config } = this.container;
        return Promise.resolve({ State: { Running }, Config } as unknown as ContainerInspect);
      },
    };
  }

  #exec(id: string): { create: ExecCreate; inspect: ExecInspect; sizes: string[] } {
    const found = this.#execs.get(id);
    if (found !== undefined) return found;
    const fields = {
      failure: "status" as const,
      status: 404,
      operation: "exec",
      message: "no exec",
    };
    throw new EngineError(fields);
  }

  #start(
    create: ExecCreate | undefined,
    sizes: string[],
    onExit: (code: number, pid?: number) => void,
  ): Duplex {
    const [ours, theirs] = duplexPair();
    ours.on("error", () => undefined);
    theirs.on("error", () => undefined);
    // A duplexPair does not tell its other end about a destroy, a socket does.
    ours.once("close", () => theirs.destroy());
    const process: FakeProcess = {
      ...{ stream: theirs, create, sizes },
      exit: (code) => {
        onExit(code);
        theirs.end();
      },
      refuse: (code, output) => {
        onExit(code, 0);
        theirs.end(output);
      },
    };
    this.processes.push(process);
    this.#run(process);
    return ours;
  }
}
