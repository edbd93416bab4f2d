import type { Duplex } from "node:stream";
import type { Logger } from "../log.ts";
import { createCommandChannels } from "./channels.ts";
import type { CommandChannels, WantedStreams } from "./channels.ts";
import type { CommandProtocol } from "./protocols.ts";
import { SpdyConnection } from "./spdy/connection.ts";
import type { SpdyStream } from "./spdy/stream.ts";

/** As the Go server: long enough for a client behind a slow API server. */
export const streamCreationTimeoutMs = 30_000;

/** Five kinds of stream; a few more are only a clumsy client. */
const maxCommandStreams = 16;

/**
 * Waits until the client has opened every stream that the request names. Copying must not start
 * earlier: Go's client opens them one after the other and reads nothing in between, so early output
 * would block its frame workers before the last reply. Undefined when it did not happen in time.
 */
export async function collectSpdyChannels(
  transport: Duplex,
  options: {
    wanted: WantedStreams;
    protocol: CommandProtocol;
    log: Logger;
    timeoutMs?: number;
  },
): Promise<CommandChannels | undefined> {
  const { wanted, protocol, log } = options;
  const expected = new Set(["error"]);
  for (const name of ["stdin", "stdout", "stderr"] as const) if (wanted[name]) expected.add(name);
  if (wanted.tty && protocol.resizes) expected.add("resize");

  const streams = new Map<string, SpdyStream>();
  const gone = new AbortController();
  let complete: (() => void) | undefined;
  const all = new Promise<void>((resolve) => (complete = resolve));
  const connection = new SpdyConnection(transport, {
    log,
    maxStreams: maxCommandStreams,
    onStream: (stream) => {
      const type = stream.headers.get("streamtype") ?? "";
      if (streams.has(type) || !isStreamType(type)) return false;
      streams.set(type, stream);
      if (type === "stdin") stream.keepsUnread = true;
      // Nothing is read from these; what comes anyway must not hold up the others.
      if (type !== "stdin" && type !== "resize") stream.resume();
      expected.delete(type);
      if (expected.size === 0) complete?.();
      return true;
    },
  });
  void connection.closed.then(() => gone.abort());

  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, options.timeoutMs ?? streamCreationTimeoutMs);
  });
  await Promise.race([all, late, connection.closed]);
  clearTimeout(timer);
  const error = streams.get("error");
  if (expected.size > 0 || error === undefined) {
    if (!gone.signal.aborted)
      log.info({ missing: [...expected] }, "client opened no streams in time");
    connection.destroy();
    return undefined;
  }
  return createCommandChannels({
    stdin: wanted.stdin ? streams.get("stdin") : undefined,
    stdout: wanted.stdout ? streams.get("stdout") : undefined,
    stderr: wanted.stderr ? streams.get("stderr") : undefined,
    resize: streams.get("resize"),
    error,
    gone: gone.signal,
    statusForm: protocol.statusForm,
    close: () => connection.close(),
  });
}

function isStreamType(type: string): boolean {
  return ["error", "stdin", "stdout", "stderr", "resize"].includes(type);
}
