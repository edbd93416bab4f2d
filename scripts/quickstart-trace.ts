import { createReadStream } from "node:fs";
import { readEvents } from "../src/trace/lines.ts";
import { renderEvent } from "../src/trace/render.ts";

/**
 * What `--trace-file` recorded, as `dockline trace --replay` shows it: the calls that became
 * something; reads from memory are summed up in the last line.
 */
export async function traceText(path: string): Promise<string> {
  const lines: string[] = [];
  let quiet = 0;
  for await (const event of readEvents(createReadStream(path))) {
    if (event.type === "call" && event.steps.every(({ kind }) => kind === "wait")) quiet += 1;
    else lines.push(...renderEvent(event));
  }
  return [...lines, `and ${quiet} reads without any Docker request`].join("\n");
}
