import type { Origin } from "./migrate-options.ts";
import { dockershimFlagsOf } from "./kubelet-flags.ts";
import { endpointOf } from "./kubelet/endpoint.ts";
import type { FoundKubelet } from "./kubelet/steps.ts";
import type { FoundContainer } from "./migrate-node.ts";
import type { Finding } from "./report.ts";
import type { Units } from "./systemd-units.ts";

/** What of another runtime a node may have. */
export interface Traces {
  containers: readonly FoundContainer[];
  /** Checkpoints of pods, of cri-dockerd and of dockershim. */
  checkpoints: number;
  criDockerdRuns: boolean;
  units: Units | undefined;
  kubelet: FoundKubelet;
  /** Files that `--back` wrote are still there. */
  handedBack: boolean;
}

/** The first kubelet without dockershim. */
const withoutDockershim = 24;

/**
 * Undefined where there is a trace of the other runtime, or the kubelet uses Dockline already; else
 * what keeps a switch from a runtime that was never there.
 */
export function nothingToMigrate(from: Origin, own: string, traces: Traces): Finding | undefined {
  const { files, minor } = traces.kubelet;
  const endpoint = endpointOf(files)?.value;
  const unit = traces.units?.get("cri-docker.service")?.load ?? "not-found";
  const flags = [...files.flags, ...files.units].flatMap(({ text }) => dockershimFlagsOf(text));
  const isThere =
    traces.criDockerdRuns ||
    unit !== "not-found" ||
    traces.handedBack ||
    traces.checkpoints > 0 ||
    flags.length > 0 ||
    (minor !== undefined && minor < withoutDockershim) ||
    endpoint === own ||
    endpoint?.includes("cri-dockerd") === true ||
    traces.containers.some(({ identity }) => identity.legacy);
  if (isThere) return undefined;
  const at = endpoint === undefined ? "" : `; the kubelet's runtime is ${endpoint}`;
  return {
    level: "bad",
    text: `nothing to migrate from: this node has no ${from}, no pod of one and no file of one${at}`,
  };
}
