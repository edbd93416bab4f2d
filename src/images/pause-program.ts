import { readFile } from "node:fs/promises";
import { join } from "node:path";

declare const DOCKLINE_PAUSE_PROGRAMS: Record<"amd64" | "arm64", string> | undefined;

/** The pause program for this machine: inside the bundle, or deploy/pause of a checkout. */
export async function pauseProgram(architecture: "amd64" | "arm64"): Promise<Uint8Array> {
  if (typeof DOCKLINE_PAUSE_PROGRAMS !== "undefined") {
    return Buffer.from(DOCKLINE_PAUSE_PROGRAMS[architecture], "base64");
  }
  return await readFile(
    join(import.meta.dirname, "..", "..", "deploy", "pause", `pause-${architecture}`),
  );
}
