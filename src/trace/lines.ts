import type { Readable } from "node:stream";
import type { TraceEvent } from "./event.ts";

/** Far above a call with all its steps; a file without line ends must not take the memory. */
const maxLineLength = 4 << 20;
const types = new Set(["call", "running", "step", "pull", "dropped"]);

/** The events of a socket or a recording. An Error names the line that is none; kinds that a newer
 * daemon may have are passed over. A last line that was cut off (a kill, a full disk) is left out. */
export async function* readEvents(source: Readable): AsyncGenerator<TraceEvent> {
  let rest = "";
  let number = 0;
  for await (const chunk of source.setEncoding("utf8") as AsyncIterable<string>) {
    // Another server's greeting may have no line end at all.
    if (number === 0 && rest === "" && /^[\0-\u0008]/.test(chunk)) {
      throw new Error("this is another protocol, no trace");
    }
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > maxLineLength) throw new Error(`line ${number + 1} has no end`);
    for (const line of lines) {
      number += 1;
      if (line === "") continue;
      const event = parseEvent(line, number);
      if (event !== undefined) yield event;
    }
  }
}

function parseEvent(line: string, number: number): TraceEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new Error(`line ${number} is not JSON`, { cause });
  }
  const { type, at } = (value ?? {}) as { type?: unknown; at?: unknown };
  if (typeof type !== "string" || typeof at !== "string") {
    throw new Error(`line ${number} is no trace event`);
  }
  return types.has(type) ? (value as TraceEvent) : undefined;
}
