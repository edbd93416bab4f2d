import type { ContainerState, ContainerSummary, EngineEvent } from "../engine/types.ts";
import { formatTimeNs } from "../convert/time.ts";

/** Where a container is in its life, as the CRI sees it. */
export type Phase = "created" | "running" | "stopped";

/** Docker's word for a time that has not come. */
export const NEVER = formatTimeNs(0n);

export const initialState: ContainerState = {
  Status: "created",
  Running: false,
  Paused: false,
  Restarting: false,
  OOMKilled: false,
  Dead: false,
  Pid: 0,
  ExitCode: 0,
  Error: "",
  StartedAt: NEVER,
  FinishedAt: NEVER,
};

export function phaseOf(state: ContainerState): Phase {
  switch (state.Status) {
    case "created":
      // A start that failed leaves Docker's "created" with an exit code or an error; it will never run.
      return state.ExitCode === 0 && state.Error === "" ? "created" : "stopped";
    case "running":
    case "paused":
    case "restarting":
      return "running";
    default:
      return "stopped";
  }
}

/** Same state with another status word; what the word implies follows. */
export function withStatus(
  state: ContainerState,
  status: ContainerState["Status"],
): ContainerState {
  const alive = status === "running" || status === "paused" || status === "restarting";
  return {
    ...state,
    Status: status,
    Running: alive,
    Paused: status === "paused",
    Restarting: status === "restarting",
    Dead: status === "dead",
    Pid: alive ? state.Pid : 0,
    ...(alive && phaseOf(state) === "stopped" ? { ExitCode: 0, FinishedAt: NEVER } : {}),
  };
}

/** What a lifecycle event says of the state; undefined for events that say nothing of it. */
export function stateAfter(state: ContainerState, event: EngineEvent): ContainerState | undefined {
  switch (event.Action) {
    case "start":
      return {
        ...withStatus(state, "running"),
        StartedAt: formatTimeNs(event.timeNano),
        OOMKilled: false,
        Error: "",
      };
    case "die":
      return {
        ...withStatus(state, "exited"),
        ExitCode: exitCodeOf(event) ?? state.ExitCode,
        FinishedAt: formatTimeNs(event.timeNano),
      };
    case "pause":
      return phaseOf(state) === "running" ? withStatus(state, "paused") : undefined;
    case "unpause":
      return phaseOf(state) === "running" ? withStatus(state, "running") : undefined;
    default:
      return undefined;
  }
}

function exitCodeOf(event: EngineEvent): number | undefined {
  const text = event.Actor.Attributes["exitCode"];
  return text !== undefined && /^-?\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** The state of a container that only a list has shown so far. */
export function stateFromSummary(summary: ContainerSummary): ContainerState {
  const state = withStatus(initialState, summary.State);
  return { ...state, ExitCode: exitCodeIn(summary.Status) ?? 0 };
}

/** "Exited (137) 3 seconds ago" is the only place where a list tells the exit code. */
export function exitCodeIn(status: string): number | undefined {
  const found = /^Exited \((-?\d{1,10})\)/.exec(status);
  return found === null ? undefined : Number(found[1]);
}
