import type { Readable, Writable } from "node:stream";
import type { CommandProtocol } from "./protocols.ts";
import { encodeStatus } from "./status.ts";
import type { StreamStatus } from "./status.ts";

/** Which streams the CRI request asked for. */
export interface WantedStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

/** The client's side of an exec or attach, whatever protocol carries it. */
export interface CommandChannels {
  /**
   * Ends when the client half-closes it. When the client is gone it does neither end nor close: what
   * came before can still be read, and `finish` closes it.
   */
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  /** JSON objects {"Width":…,"Height":…}. */
  readonly resize: Readable | undefined;
  /** Aborted when the client's connection has closed, whoever closed it. */
  readonly gone: AbortSignal;
  /** Sends what is left of the output, then the status, and closes. Never rejects. */
  finish(status: StreamStatus): Promise<void>;
}

/** The channels as streams, before their common ending is put on top. */
export interface ChannelParts {
  stdin: Readable | undefined;
  stdout: Writable | undefined;
  stderr: Writable | undefined;
  resize: Readable | undefined;
  error: Writable;
  gone: AbortSignal;
  statusForm: CommandProtocol["statusForm"];
  /** Ends the connection; resolves when it has closed. */
  close(): Promise<void>;
}

/** Resolves when a writable has taken all it was given, or has died. */
export function finished(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableFinished || stream.destroyed) {
      resolve();
      return;
    }
    const done = (): void => {
      stream.off("finish", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("finish", done);
    stream.on("close", done);
  });
}

/** The one order in which every session ends: output, then status, then the connection. */
export function createCommandChannels(parts: ChannelParts): CommandChannels {
  const { stdin, stdout, stderr, resize, gone } = parts;
  return {
    stdin,
    stdout,
    stderr,
    resize,
    gone,
    async finish(status) {
      for (const output of [stdout, stderr]) {
        if (output === undefined) continue;
        output.end();
        await finished(output);
      }
      const bytes = encodeStatus(status, parts.statusForm);
      if (bytes.length > 0) parts.error.write(bytes);
      parts.error.end();
      await finished(parts.error);
      // Only now: to Go's client the end of its stdin stream is a reason to stop reading.
      stdin?.destroy();
      resize?.destroy();
      await parts.close();
    },
  };
}
