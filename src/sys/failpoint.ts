/**
 * Named places between two effects at which a test has this process killed, so that what is found
 * after any crash can be tried. DOCKLINE_FAILPOINT holds the one name in force; without it, as on
 * every real node, a place costs one comparison.
 */
export const failpointVariable = "DOCKLINE_FAILPOINT";

const armed = process.env[failpointVariable];

/** SIGKILL, so that nothing is flushed, closed or undone: the call does not return. */
export function failpoint(name: string): void {
  if (armed !== undefined && armed === name) process.kill(process.pid, "SIGKILL");
}
