import { once } from "node:events";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { createConnection } from "node:net";
import type { Readable, Writable } from "node:stream";
import { errorText } from "../errors.ts";
import type { TraceEvent } from "../trace/event.ts";
import { passes } from "../trace/filter.ts";
import { readEvents } from "../trace/lines.ts";
import { renderEvent } from "../trace/render.ts";
import { Slowest } from "../trace/slowest.ts";
import { dateText } from "../trace/text.ts";
import { parseTraceArguments, traceUsage } from "./trace-arguments.ts";
import type { TraceArguments } from "./trace-arguments.ts";

/** `dockline trace`: 0 at its end, 1 when there is no daemon or recording, 2 for wrong arguments. */
export async function trace(args: readonly string[]): Promise<number> {
  let wanted: TraceArguments | "help";
  try {
    wanted = parseTraceArguments(args, process.env);
  } catch (error) {
    process.stderr.write(`dockline trace: ${errorText(error)}\n`);
    return 2;
  }
  if (wanted === "help") {
    process.stdout.write(traceUsage);
    return 0;
  }
  const stop = new AbortController();
  const end = (): void => stop.abort();
  // A reader of ours that has gone (`| head`) ends us, quietly.
  process.stdout.on("error", end);
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  const timer = wanted.forMs === undefined ? undefined : setTimeout(end, wanted.forMs);
  try {
    await show(wanted, stop.signal);
    return 0;
  } catch (error) {
    process.stderr.write(`dockline trace: ${errorText(error)}\n`);
    return 1;
  } finally {
    clearTimeout(timer);
  }
}

async function show(wanted: TraceArguments, stop: AbortSignal): Promise<void> {
  const record = wanted.record === undefined ? undefined : await newRecording(wanted.record);
  try {
    const source = await sourceOf(wanted);
    const screen = new Screen(wanted, process.stdout);
    const end = (): void => void source.destroy();
    stop.addEventListener("abort", end, { once: true });
    if (stop.aborted) end();
    const live = wanted.replay === undefined;
    const windows =
      live && wanted.slowest !== undefined
        ? setInterval(() => screen.endWindow(wanted.windowMs), wanted.windowMs)
        : undefined;
    const seen = { shown: 0, passedBy: 0 };
    try {
      for await (const event of readEvents(source)) {
        if (!passes(event, wanted.filter)) {
          seen.passedBy += 1;
          continue;
        }
        seen.shown += 1;
        await record?.write(`${JSON.stringify(event)}\n`);
        await screen.show(event);
      }
    } catch (error) {
      if (!stop.aborted) throw error;
    } finally {
      clearInterval(windows);
      stop.removeEventListener("abort", end);
    }
    screen.endWindow();
    if (live && !stop.aborted) throw new Error("the daemon has closed the connection");
    if (seen.shown === 0)
      process.stderr.write(`dockline trace: ${nothing(seen.passedBy, wanted)}\n`);
  } finally {
    await record?.close();
  }
}

/** Why nothing was shown. */
function nothing(passedBy: number, { filter: { pod } }: TraceArguments): string {
  if (passedBy === 0) return "there was no call";
  const about = pod === undefined ? "" : `; --pod was ${pod}`;
  return `none of ${passedBy} events passed the filter${about}`;
}

/** Lines or JSON on stdout; waits for a slow reader, which leaves the rest to the daemon's bound. */
class Screen {
  readonly #wanted: TraceArguments;
  readonly #out: Writable & { columns?: number };
  readonly #slowest: Slowest | undefined;
  #date = "";

  constructor(wanted: TraceArguments, out: Writable & { columns?: number }) {
    this.#wanted = wanted;
    this.#out = out;
    this.#slowest = wanted.slowest === undefined ? undefined : new Slowest(wanted.slowest);
  }

  async show(event: TraceEvent): Promise<void> {
    if (this.#slowest === undefined) await this.#print(this.#textOf(event));
    else if (event.type === "call") this.#slowest.add(event);
  }

  /** Shows the slowest since the last time. */
  endWindow(windowMs?: number): void {
    if (this.#slowest === undefined) return;
    const { title, calls } = this.#slowest.take(windowMs);
    const shown = calls.map((call) => this.#textOf(call)).join("");
    this.#out.write(this.#wanted.json ? shown : `${title}\n${shown}`);
  }

  #textOf(event: TraceEvent): string {
    if (this.#wanted.json) return `${JSON.stringify(event)}\n`;
    const width = this.#wanted.width ?? this.#out.columns ?? 80;
    return [...this.#dateLine(event), ...renderEvent(event, width)]
      .map((line) => `${line}\n`)
      .join("");
  }

  /** Times of day are of the day that was said last: a recording may be of any. */
  #dateLine(event: TraceEvent): string[] {
    const date = dateText(event.at);
    if (date === "" || date === this.#date) return [];
    this.#date = date;
    return [`-- ${date} --`];
  }

  async #print(text: string): Promise<void> {
    if (this.#out.write(text) || this.#out.destroyed) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#out.off("drain", done).off("close", done);
        resolve();
      };
      this.#out.on("drain", done).on("close", done);
    });
  }
}

async function sourceOf({ replay, socket }: TraceArguments): Promise<Readable> {
  if (replay !== undefined) {
    const file = createReadStream(replay);
    await once(file, "open");
    return file;
  }
  const connection = createConnection({ path: socket });
  try {
    await once(connection, "connect");
  } catch (cause) {
    connection.destroy();
    throw new Error(
      `no daemon listens at ${socket} (${errorText(cause)}): does it run, and is this root? --socket is <its --run-dir>/trace.sock`,
      { cause },
    );
  }
  return connection;
}

/** What it records is not for others' eyes: which pods ran when. Never over an existing file. */
async function newRecording(path: string): Promise<FileHandle> {
  try {
    return await open(path, "wx", 0o600);
  } catch (cause) {
    throw new Error(`--record: ${errorText(cause)}`, { cause });
  }
}
