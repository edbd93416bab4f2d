import { readFileSync } from "node:fs";

/**
 * Named places between two effects at which a test has this process killed, so that what is found
 * after any crash can be tried. DOCKLINE_FAILPOINT holds the one name in force, or the absolute path
 * of a file that does; without it, as on every real node, a place costs one comparison.
 */
const armed = process.env["DOCKLINE_FAILPOINT"];

/** SIGKILL, so that nothing is flushed, closed or undone: the call does not return. */
export function failpoint(name: string): void {
  if (armed === undefined || armed === "") return;
  const wanted = armed.startsWith("/") ? readFileSync(armed, "utf8").trim() : armed;
  if (wanted === name) process.kill(process.pid, "SIGKILL");
}
