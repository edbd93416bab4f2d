import type { TraceEvent } from "./event.ts";

/** What of a trace is shown; without a member everything is. */
export interface TraceFilter {
  /** Pod name, "namespace/name", or the beginning of a pod's or container's id; * at the end. */
  pod?: string;
  /** RPC names, case ignored; * at the end stands for anything. */
  rpcs?: readonly string[];
  /** Only calls that took at least so many milliseconds. */
  overMs?: number;
}

/** Shorter beginnings of ids would hit by chance. */
const shortestId = /^[0-9a-f]{4,64}$/;

export function passes(event: TraceEvent, filter: TraceFilter): boolean {
  if (event.type === "dropped") return true;
  if (event.type === "pull") return filter.pod === undefined && rpcPasses("PullImage", filter);
  if (!rpcPasses(event.rpc, filter)) return false;
  if (event.type === "call" && event.durationMs < (filter.overMs ?? 0)) return false;
  return filter.pod === undefined || isAbout(event, filter.pod);
}

/** The words of a filter that can never match: RPCs that there are not. */
export function unknownRpcs(rpcs: readonly string[], known: readonly string[]): string[] {
  return rpcs.filter((wanted) => !known.some((name) => like(name, wanted)));
}

function rpcPasses(rpc: string, { rpcs }: TraceFilter): boolean {
  return rpcs?.some((wanted) => like(rpc, wanted)) ?? true;
}

function isAbout(
  event: Exclude<TraceEvent, { type: "dropped" | "pull" }>,
  wanted: string,
): boolean {
  const { pod, container } = event;
  const name = pod?.name ?? "";
  if (like(name, wanted) || like(`${pod?.namespace ?? ""}/${name}`, wanted)) return true;
  if (!shortestId.test(wanted)) return false;
  return [pod?.id, container?.id].some((id) => id?.startsWith(wanted) === true);
}

function like(name: string, wanted: string): boolean {
  const [text, pattern] = [name.toLowerCase(), wanted.toLowerCase()];
  return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}
