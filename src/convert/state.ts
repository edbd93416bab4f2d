import type { ContainerState as DockerState } from "../engine/types.ts";
import { ContainerState, PodSandboxState } from "../gen/runtime/v1/api_pb.js";
import { parseTimeNs } from "./time.ts";

/** What of Docker's state the CRI asks for; times in ns since the epoch, 0n is "not specified". */
export interface ContainerRun {
  readonly state: ContainerState;
  readonly startedAtNs: bigint;
  readonly finishedAtNs: bigint;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
}

const REASON_COMPLETED = "Completed";
const REASON_ERROR = "Error";
const REASON_OOM = "OOMKilled";
/** The kubelet has a case of its own for this word. */
const REASON_CANNOT_RUN = "ContainerCannotRun";

/** Docker's state word → CRI state; for lists that have no more than the word. */
export function containerStateOf(status: DockerState["Status"]): ContainerState {
  switch (status) {
    case "created":
      return ContainerState.CONTAINER_CREATED;
    case "running":
    case "paused":
    case "restarting":
      return ContainerState.CONTAINER_RUNNING;
    case "removing":
    case "exited":
    case "dead":
      return ContainerState.CONTAINER_EXITED;
    default:
      return ContainerState.CONTAINER_UNKNOWN;
  }
}

/**
 * Docker's inspected state → what the CRI reports. A failed start leaves Docker's container
 * "created" with an exit code: to the kubelet that container has exited, at the time it was made.
 */
export function containerRun(state: DockerState, createdAtNs: bigint): ContainerRun {
  const startedAtNs = parseTimeNs(state.StartedAt);
  const finishedAtNs = parseTimeNs(state.FinishedAt);
  if (state.Status === "created" && (state.ExitCode !== 0 || state.Error !== "")) {
    return {
      state: ContainerState.CONTAINER_EXITED,
      startedAtNs: startedAtNs === 0n ? createdAtNs : startedAtNs,
      finishedAtNs: finishedAtNs === 0n ? createdAtNs : finishedAtNs,
      exitCode: state.ExitCode === 0 ? 128 : state.ExitCode,
      reason: REASON_CANNOT_RUN,
      message: state.Error,
    };
  }
  const criState = containerStateOf(state.Status);
  if (criState === ContainerState.CONTAINER_EXITED) {
    // Without an end the kubelet takes the container for one that never ran and restarts at once.
    const endedAtNs = finishedAtNs === 0n ? createdAtNs : finishedAtNs;
    return {
      state: criState,
      // Docker notes the start after the fact: a process of milliseconds ends "before" it.
      startedAtNs: startedAtNs > endedAtNs ? endedAtNs : startedAtNs,
      finishedAtNs: endedAtNs,
      exitCode: state.ExitCode,
      reason: exitReason(state),
      message: state.Error,
    };
  }
  const running = criState === ContainerState.CONTAINER_RUNNING;
  return {
    state: criState,
    startedAtNs: running ? startedAtNs : 0n,
    finishedAtNs: 0n,
    exitCode: 0,
    reason: "",
    message: "",
  };
}

/** Only a running pause container holds the pod's namespaces. */
export function sandboxStateOf(status: DockerState["Status"]): PodSandboxState {
  return containerStateOf(status) === ContainerState.CONTAINER_RUNNING
    ? PodSandboxState.SANDBOX_READY
    : PodSandboxState.SANDBOX_NOTREADY;
}

function exitReason(state: DockerState): string {
  if (state.ExitCode === 0) return REASON_COMPLETED;
  // Docker keeps the flag when a child was killed and the main process ended well.
  return state.OOMKilled ? REASON_OOM : REASON_ERROR;
}
