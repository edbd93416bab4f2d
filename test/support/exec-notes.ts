import type { ExecNotes } from "../../src/engine/end-exec.ts";

/** Remembers nothing: for tests in which no process follows this one. */
export const noExecNotes: ExecNotes = { oweExec: () => undefined, execDone: () => undefined };
