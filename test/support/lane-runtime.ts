import { join } from "node:path";
import { docklineOci } from "./oci-program.ts";

interface EngineInfo {
  Runtimes?: Record<string, { path?: string; runtimeArgs?: string[] }> | null;
}

/** Whether the suite runs with dockline-oci on its engine, as a package registers it. */
export const withLaneRuntime = process.env["DOCKLINE_TEST_OCI"] === "1";

/**
 * What one test's Dockline sees of an engine on which a lane has registered `dockline` for all of them
 * (test/lanes/oci-of-node): its own edits, or no dockline-oci at all.
 */
export function ownLaneRuntime(info: object, runDir: string): object {
  const { Runtimes: runtimes, ...rest } = info as EngineInfo;
  const { dockline, ...others } = runtimes ?? {};
  if (dockline?.path?.endsWith("/oci-of-node") !== true) return info;
  const own = { path: docklineOci, runtimeArgs: [`--edits=${join(runDir, "oci")}`] };
  return { ...rest, Runtimes: withLaneRuntime ? { ...others, dockline: own } : others };
}
