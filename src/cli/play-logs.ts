import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

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
  const readOn = async (): Promise<void> => {
    file ??= await open(path, "r").catch(() => undefined);
    if (file === undefined) return;
    const buffer = Buffer.alloc(64 * 1024);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) return;
      offset += bytesRead;
      const lines = (rest + buffer.toString("utf8", 0, bytesRead)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) say(`${name} | ${contentOf(line)}`);
    }
  };
  try {
    while (!signal.aborted) {
      await readOn();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await readOn();
  } finally {
    await file?.close();
  }
}

/** `time stream tag content` → content. */
function contentOf(line: string): string {
  const parts = line.split(" ");
  return parts.slice(3).join(" ");
}
