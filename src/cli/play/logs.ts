import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Prints a container's CRI log as it grows, `name | text` a line, until the signal aborts; then what
 * is still unread, and returns. The file may come later.
 */
export async function followLog(
  path: string,
  name: string,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let file: FileHandle | undefined;
  let offset = 0;
  let rest = "";
  // A line that was too long for one entry comes in parts, each stream's its own.
  const parts = new Map<string, string>();
  const decoder = new TextDecoder();
  const buffer = Buffer.alloc(64 * 1024);
  const readOn = async (): Promise<void> => {
    file ??= await open(path, "r").catch(() => undefined);
    if (file === undefined) return;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) return;
      offset += bytesRead;
      const text = decoder.decode(buffer.subarray(0, bytesRead), { stream: true });
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const { stream, isPart, content } = entryOf(line);
        const whole = `${parts.get(stream) ?? ""}${content}`;
        if (isPart) parts.set(stream, whole);
        else {
          parts.delete(stream);
          say(`${name} | ${whole}`);
        }
      }
    }
  };
  try {
    while (!signal.aborted) {
      await readOn();
      await sleep(100, undefined, { signal }).catch(() => undefined);
    }
    await readOn();
    for (const whole of parts.values()) say(`${name} | ${whole}`);
  } finally {
    await file?.close();
  }
}

/** `time stream tag content`; the tag is P for a part and F for the end of a line. */
function entryOf(line: string): { stream: string; isPart: boolean; content: string } {
  const [, stream = "", tag = "", ...words] = line.split(" ");
  return { stream, isPart: tag === "P", content: words.join(" ") };
}
