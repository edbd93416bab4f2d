import type { CallContext, Handlers } from "../cri/bind.ts";
import { CriError, invalidArgument, notFound } from "../errors.ts";
import type { EndExec } from "../engine/end-exec.ts";
import type { Engine, HijackedStream } from "../engine/engine.ts";
import { isStatus } from "../engine/errors.ts";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import { waiting } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import { FrameDecoder } from "../engine/demux.ts";
import type { FrameStream } from "../engine/demux.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";

/** Both streams together stay below the kubelet's 16 MiB message limit. */
const outputLimitBytes = 16 * 1024 * 1024 - 64 * 1024;
/** How long output may still come after the process has ended: a background child keeps it open. */
const drainMs = 2000;
/** ctrl-@ eleven times: nobody types it, and without a tty it means nothing. */
export const neutralDetachKeys = Array.from({ length: 11 }, () => "ctrl-@").join(",");

export interface ExecSyncDeps {
  engine: Pick<Engine, "createExec" | "startExec" | "inspectExec">;
  index: Pick<ContainerIndex, "find" | "onEvent">;
  clock: Clock;
  endExec: EndExec;
}

/** ExecSync: exec probes and lifecycle hooks. */
export function execSync(deps: ExecSyncDeps): Pick<Handlers<typeof RuntimeService>, "execSync"> {
  return {
    execSync: async (request, context) => {
      if (request.cmd.length === 0) throw invalidArgument("exec: no command given");
      if (request.timeout < 0n) throw invalidArgument("exec: timeout is negative");
      const container = await runningContainer(deps.index, request.containerId, "exec");
      return await execute(deps, container.id, request.cmd, Number(request.timeout), context);
    },
  };
}

/** The container that an exec, attach or similar is about; NOT_FOUND or FAILED_PRECONDITION if not. */
export async function runningContainer(
  index: Pick<ContainerIndex, "find">,
  containerId: string,
  what: string,
): Promise<ContainerEntry> {
  if (containerId === "") throw invalidArgument(`${what}: container id is empty`);
  const container = await index.find("container", containerId);
  if (container === undefined) throw notFound(`${what}: no container ${containerId}`);
  if (!container.state.Running) {
    throw new CriError("FailedPrecondition", `${what}: container ${container.id} is not running`);
  }
  return container;
}

async function execute(
  deps: ExecSyncDeps,
  containerId: string,
  cmd: string[],
  timeoutSeconds: number,
  context: CallContext,
): Promise<{ stdout: Uint8Array; stderr: Uint8Array; exitCode: number }> {
  const execId = await deps.engine
    .createExec(containerId, {
      Cmd: cmd,
      Tty: false,
      AttachStdin: false,
      AttachStdout: true,
      AttachStderr: true,
      DetachKeys: neutralDetachKeys,
    })
    .catch((error: unknown) => {
      // 409: it stopped between our look and the request.
      if (isStatus(error, 409)) throw new CriError("FailedPrecondition", error.message);
      throw error;
    });
  const ended = watchExecDie(deps.index, execId);
  let stream: HijackedStream | undefined;
  try {
    const output = new CappedOutput(outputLimitBytes);
    stream = await deps.engine.startExec(execId, false);
    const closed = collect(stream, output);
    const outcome = await waiting("command", () =>
      firstOf(closed, ended.promise, timeoutSeconds, deps.clock, context.signal),
    );
    if (outcome === "timeout" || outcome === "cancelled") {
      await deps.endExec(execId, containerId);
      if (outcome === "cancelled") throw context.signal.reason as Error;
      throw new CriError(
        "DeadlineExceeded",
        `exec in ${containerId}: command ${JSON.stringify(cmd[0])} timed out after ${timeoutSeconds} s`,
      );
    }
    if (outcome === "ended") await settleWithin(closed, drainMs, deps.clock);
    const exitCode = await exitCodeOf(deps, execId, ended.exitCode);
    return { stdout: output.stdout(), stderr: output.stderr(), exitCode };
  } finally {
    ended.release();
    stream?.destroy();
  }
}

/** Output of both streams up to a common cap; what is more is read and dropped, so nothing blocks. */
class CappedOutput {
  readonly #chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  #left: number;
  constructor(limitBytes: number) {
    this.#left = limitBytes;
  }
  push(stream: FrameStream, bytes: Uint8Array): void {
    if (this.#left === 0 || (stream !== "stdout" && stream !== "stderr")) return;
    const kept = bytes.subarray(0, this.#left);
    this.#left -= kept.length;
    // A copy: the demuxer hands out views of the socket's own buffers.
    this.#chunks[stream].push(Buffer.from(kept));
  }
  stdout(): Uint8Array {
    return Buffer.concat(this.#chunks.stdout);
  }
  stderr(): Uint8Array {
    return Buffer.concat(this.#chunks.stderr);
  }
}

function collect(stream: HijackedStream, output: CappedOutput): Promise<void> {
  return new Promise((resolve, reject) => {
    const demuxer = new FrameDecoder((name, bytes) => output.push(name, bytes));
    stream.on("data", (chunk: Buffer) => {
      try {
        demuxer.push(chunk);
      } catch (error) {
        reject(new Error("output is not framed", { cause: error }));
      }
    });
    stream.on("end", resolve);
    stream.on("close", resolve);
    stream.on("error", reject);
  });
}

type Outcome = "closed" | "ended" | "timeout" | "cancelled";

async function firstOf(
  closed: Promise<void>,
  ended: Promise<void>,
  timeoutSeconds: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Outcome> {
  const stop = new AbortController();
  const combined = AbortSignal.any([signal, stop.signal]);
  try {
    return await Promise.race([
      closed.then(() => "closed" as const),
      ended.then(() => "ended" as const),
      clock.sleep(timeoutSeconds > 0 ? timeoutSeconds * 1000 : 2 ** 31 - 1, combined).then(
        () => "timeout" as const,
        () => "cancelled" as const,
      ),
    ]);
  } finally {
    stop.abort();
  }
}

async function settleWithin(work: Promise<void>, ms: number, clock: Clock): Promise<void> {
  const stop = new AbortController();
  await Promise.race([work, clock.sleep(ms, stop.signal).catch(() => undefined)]);
  stop.abort();
}

/** exec_die carries the code and comes even when a background child holds the output open. */
function watchExecDie(
  index: Pick<ContainerIndex, "onEvent">,
  execId: string,
): { promise: Promise<void>; exitCode: () => number | undefined; release: () => void } {
  let code: number | undefined;
  let resolvePromise: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    resolvePromise = resolve;
  });
  const release = index.onEvent((event) => {
    if (!event.Action.startsWith("exec_die")) return;
    if (event.Actor.Attributes["execID"] !== execId) return;
    const parsed = Number(event.Actor.Attributes["exitCode"]);
    if (Number.isInteger(parsed)) code = parsed;
    resolvePromise();
  });
  return { promise, exitCode: () => code, release };
}

/** The true exit code, or an error: a probe must never succeed because nobody knew. */
async function exitCodeOf(
  deps: ExecSyncDeps,
  execId: string,
  seen: () => number | undefined,
): Promise<number> {
  for (let attempt = 0, waitMs = 5; attempt < 10; attempt += 1, waitMs *= 2) {
    const inspected = await deps.engine.inspectExec(execId);
    if (!inspected.Running && inspected.ExitCode !== null) return inspected.ExitCode;
    const code = seen();
    if (code !== undefined) return code;
    await waiting("exit code", () => deps.clock.sleep(waitMs));
  }
  throw new CriError("Unknown", `exec ${execId}: the engine does not tell how the command ended`);
}
