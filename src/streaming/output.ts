import type { Duplex, Readable, Writable } from "node:stream";
import { demux } from "../engine/demux.ts";
import type { CopyOptions } from "../engine/demux.ts";
import type { Logger } from "../log.ts";
import { roomIn } from "../sys/room.ts";
import { turnCork } from "./turn-cork.ts";

/**
 * Copies a hijacked connection to the client until it ends, no faster than the client takes it; what
 * a missing or departed client does not take is dropped. A terminal's output is stdout. Rejects when
 * the connection breaks off.
 */
export async function copyOutput(
  source: Duplex,
  tty: boolean,
  sinks: { stdout: Writable | undefined; stderr: Writable | undefined },
  options: CopyOptions = {},
): Promise<void> {
  if (!tty) {
    await demux(source, sinks, options);
    return;
  }
  const sink = sinks.stdout;
  const { note, dropped } = options;
  for await (const chunk of source) {
    note?.("stdout", chunk as Buffer);
    if (sink?.writable !== true || dropped?.aborted === true) continue;
    if (!sink.write(chunk)) await roomIn(sink, dropped);
  }
}

/**
 * The client's stdin to the container. Its end is passed on only where it is to be the end of the
 * process's stdin: with a tty, or where stdin stays open for others, Docker would end the output too.
 */
export function copyInput(stdin: Readable | undefined, target: Duplex, passEnd: boolean): void {
  if (stdin !== undefined) pipeCorked(stdin, target, passEnd);
}

/** A pipe that writes what came in one turn of the loop in one system call. */
export function pipeCorked(source: Readable, target: Writable, passEnd: boolean): void {
  source.on("data", turnCork(target));
  source.pipe(target, { end: passEnd });
}

/** Watches a signal for as long as a session needs it. */
export function untilAborted(signal: AbortSignal): { promise: Promise<void>; release(): void } {
  let release = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    release = () => signal.removeEventListener("abort", onAbort);
  });
  return { promise, release: () => release() };
}

const maxSizeBytes = 256;

/**
 * Applies the window sizes that come as JSON objects one after the other. Only the latest counts:
 * while Docker works on one, those between are skipped. Returns what stops it.
 */
export function followResize(
  source: Readable | undefined,
  apply: (width: number, height: number) => Promise<void>,
  log: Logger,
): () => void {
  if (source === undefined) return () => undefined;
  let text = "";
  let next: { width: number; height: number } | undefined;
  let busy = false;
  let stopped = false;

  const work = async (): Promise<void> => {
    while (next !== undefined && !stopped) {
      const size = next;
      next = undefined;
      try {
        await apply(size.width, size.height);
      } catch (err) {
        // The process may be gone by now; a wrong width is no reason to end a session.
        log.debug({ err }, "resize failed");
      }
    }
    busy = false;
  };
  const onData = (chunk: Buffer): void => {
    if (stopped) return;
    text += chunk.toString("latin1");
    for (let end = text.indexOf("}"); end >= 0; end = text.indexOf("}")) {
      next = parseSize(text.slice(0, end + 1)) ?? next;
      text = text.slice(end + 1);
    }
    if (text.length > maxSizeBytes) text = "";
    if (next !== undefined && !busy) {
      busy = true;
      void work();
    }
  };
  source.on("data", onData);
  return () => {
    stopped = true;
    source.off("data", onData);
    source.resume();
  };
}

function parseSize(text: string): { width: number; height: number } | undefined {
  let value: { Width?: unknown; Height?: unknown } | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return undefined;
  }
  const width = sideOf(value?.Width);
  const height = sideOf(value?.Height);
  return width === undefined || height === undefined ? undefined : { width, height };
}

function sideOf(value: unknown): number | undefined {
  if (typeof value !== "number" || !Number.isInteger(value)) return undefined;
  return value > 0 && value <= 0xffff ? value : undefined;
}
