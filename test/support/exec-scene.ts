import { PassThrough } from "node:stream";
import { expect } from "chai";
import { kindOf } from "../../src/cri/status.ts";
import type { CallContext } from "../../src/cri/bind.ts";
import { EngineError } from "../../src/engine/errors.ts";
import type { EngineFailure } from "../../src/engine/errors.ts";
import type { EngineEvent, ExecInspect } from "../../src/engine/types.ts";
import { execSync } from "../../src/rpc/exec-sync.ts";
import type { ExecSyncDeps } from "../../src/rpc/exec-sync.ts";
import type { ProcessAge } from "../../src/sys/process-tree.ts";
import type { Clock } from "../../src/sys/clock.ts";
import { systemClock } from "../../src/sys/clock.ts";

export const nothing = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
export const containerId = "c".repeat(64);
export const lost = (failure: EngineFailure, status = 0) =>
  new EngineError({ failure, status, operation: "x", message: "x: no answer" });
export const frame = (stream: 1 | 2, text: string): Buffer => {
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
};

export interface Scene {
  create?: (signal: AbortSignal) => Promise<string>;
  start?: (
    stream: PassThrough,
    die: (code: number) => void,
    signal: AbortSignal,
  ) => Promise<PassThrough>;
  inspect?: (look: number, options?: { timeoutMs?: number }) => Promise<Partial<ExecInspect>>;
  age?: ProcessAge;
  timeout?: bigint;
  cmd?: string[];
  signal?: AbortSignal;
  /** How much faster than the world's its clock goes. */
  speed?: number;
  /** Milliseconds that the caller waits. */
  remainingMs?: number;
}

const clockOf = (speed: number): Clock => ({
  nowNs: () => systemClock.nowNs(),
  monotonicMs: () => systemClock.monotonicMs() * speed,
  sleep: (ms, signal) => systemClock.sleep(ms / speed, signal),
});

/** One ExecSync against an engine that does what the scene says. */
export async function run(scene: Scene) {
  const stream = new PassThrough();
  let listener: (event: EngineEvent) => void = () => undefined;
  const seen = { inspects: 0, ended: 0, listening: false, owed: 0, done: 0 };
  const die = (code: number): void =>
    listener({
      Type: "container",
      Action: "exec_die",
      Actor: { ID: containerId, Attributes: { execID: "e", exitCode: String(code) } },
      timeNano: 0n,
    });
  const deps = {
    clock: clockOf(scene.speed ?? 1),
    execAge: () => scene.age ?? 3_600_000,
    execNotes: {
      oweExec: () => (seen.owed += 1),
      execDone: () => (seen.done += 1),
    },
    endExec: () => {
      seen.ended += 1;
      return Promise.resolve();
    },
    index: {
      find: () => Promise.resolve({ id: containerId, state: { Running: true } }),
      onEvent: (added: typeof listener) => {
        listener = added;
        seen.listening = true;
        return () => (seen.listening = false);
      },
    },
    engine: {
      createExec: (_id: string, _body: object, { signal }: { signal: AbortSignal }) =>
        scene.create?.(signal) ?? Promise.resolve("e"),
      startExec: (_id: string, _tty: boolean, { signal }: { signal: AbortSignal }) =>
        scene.start?.(stream, die, signal) ?? Promise.resolve(stream),
      inspectExec: async (_id: string, options?: { timeoutMs?: number }) => {
        seen.inspects += 1;
        const found = scene.inspect?.(seen.inspects, options) ?? { Running: true, Pid: 42 };
        const answer: Partial<ExecInspect> = await found;
        return { ID: "e", ContainerID: containerId, Running: false, ExitCode: null, ...answer };
      },
    },
  } as unknown as ExecSyncDeps;
  const { execSync: call } = execSync(deps);
  const begun = performance.now();
  const context = {
    signal: scene.signal ?? new AbortController().signal,
    remainingMs: () => scene.remainingMs ?? Infinity,
  } as CallContext;
  const { cmd = ["probe"], timeout = 1n } = scene;
  const answer = await call?.({ containerId, cmd, timeout } as never, context).then(
    (value) => value as { stdout: Uint8Array; stderr: Uint8Array; exitCode: number },
    (error: unknown) => kindOf(error),
  );
  expect(seen.listening, "listens to events forever").to.equal(false);
  expect(seen.owed, "noted, and neither over nor being ended").to.equal(seen.done + seen.ended);
  return { answer, ...seen, ms: performance.now() - begun };
}

export const ends =
  (code: number, text = "") =>
  (stream: PassThrough, die: (code: number) => void) => {
    setImmediate(() => {
      if (text !== "") stream.write(frame(1, text));
      stream.end();
      setTimeout(() => die(code), 5);
    });
    return Promise.resolve(stream);
  };
/** As moby: the reason is written as output, and there is no event. */
export const refusedWith = (text: string) => (stream: PassThrough) => {
  stream.write(frame(1, text));
  stream.end();
  return Promise.resolve(stream);
};
/** The end of an inspect that is never answered. */
export const silent = async (_look: number, options?: { timeoutMs?: number }): Promise<never> => {
  await systemClock.sleep(options?.timeoutMs ?? 10_000);
  throw lost("timeout");
};
