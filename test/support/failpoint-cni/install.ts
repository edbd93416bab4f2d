import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FailpointCall, FailpointState } from "./terms.ts";

/** Puts the plugin into `binDir` (a folder that only its owner may write) under the name `failpoint`. */
export function installFailpointPlugin(binDir: string, name = "failpoint"): void {
  const program = join(import.meta.dirname, "failpoint.ts");
  writeFileSync(
    join(binDir, name),
    `#!/bin/sh\nexec ${process.execPath} --disable-warning=ExperimentalWarning ${program}\n`,
    { mode: 0o755 },
  );
}

/** Sets what the plugin does from now on; earlier calls are forgotten. */
export function setFailpoints(statePath: string, failpoints: Record<string, string>): void {
  const state: FailpointState = { failpoints, calls: [] };
  writeFileSync(statePath, JSON.stringify(state));
}

export function failpointCalls(statePath: string): FailpointCall[] {
  return (JSON.parse(readFileSync(statePath, "utf8")) as FailpointState).calls ?? [];
}
