import type { TraceEvent } from "./event.ts";

/** What of a trace is shown; without a member everything is. */
export interface TraceFilter {
  /** Pod name, "namespace/name", or the beginning of a pod's or container's id; * at the end. */
  pod?: string;
  /** RPC names, case ignored; * at the end stands for anything, ! in front for all but these. */
  rpcs?: readonly string[];
  /** Only RPCs that change pods, containers or images, or the runtime. */
  writes?: boolean;
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
  return rpcs.filter((wanted) => !known.some((name) => like(name, wanted.replace(/^!/, ""))));
}

/** RPCs that only look, run a command or open a stream; what is not here is shown by `--writes`. */
const reading =
  /^(?:Version|Status|RuntimeConfig|(?:List|Stream)\w+|\w+(?:Status|Stats)|GetContainerEvents|ImageFsInfo|ExecSync|Exec|Attach|PortForward)$/;

const isWrite = (rpc: string): boolean => !reading.test(rpc);

function rpcPasses(rpc: string, { rpcs = [], writes = false }: TraceFilter): boolean {
  if (writes && !isWrite(rpc)) return false;
  const wanted = rpcs.filter((word) => !word.startsWith("!"));
  const unwanted = rpcs.flatMap((word) => (word.startsWith("!") ? [word.slice(1)] : []));
  if (unwanted.some((word) => like(rpc, word))) return false;
  return wanted.length === 0 || wanted.some((word) => like(rpc, word));
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
