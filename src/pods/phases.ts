/*
 * src/pods: a pod's life: its phases, its pause container, its network and their removal.
 * Not here: requests of the CRI (src/rpc checks those) and making the members of a pod (src/containers).
 */
import type { SandboxPhase, SandboxRecord } from "../state/sandbox-records.ts";

/**
 * The life of a pod sandbox. Read this first: every other file here brings a sandbox from one of these
 * phases to another one, and `Sandbox.enter` lets no other step pass.
 *
 * | Phase | What there may be | READY | Who brings it on |
 * |---|---|---|---|
 * | creating | a pause container, perhaps running; no CNI ADD was tried | no | set-up.ts |
 * | networking | the same, and ADD was or is about to be tried: DEL is owed | no | set-up.ts |
 * | ready | the pod as it was asked for; containers may be made in it | yes | nobody, it lives |
 * | stopping | whatever is left of it; DEL is owed while the record has a network | no | teardown.ts |
 * | stopped | dead containers and their logs; no address is held | no | teardown.ts |
 * | gone | nothing, and no record | – | – |
 *
 * The record on disk says the phase before the effect that it announces, so that after `kill -9` at any
 * line a start knows what may be there. On disk `creating` has two forms, before and after Docker
 * has told the id ("creating", "created"). A pod that another runtime made has no record: Docker's state
 * is all that is known of it, and its phases after `ready` are not written down.
 */
export type Phase = "creating" | "networking" | "ready" | "stopping" | "stopped" | "gone";

/** Where a sandbox may go from each phase. It may always stay where it is. */
export const transitions: Readonly<Record<Phase, readonly Phase[]>> = {
  gone: ["creating"],
  // A pod in the host's network has nothing to attach. "gone": nothing had been made.
  creating: ["networking", "ready", "stopping", "gone"],
  networking: ["ready", "stopping"],
  ready: ["stopping"],
  stopping: ["stopped", "gone"],
  stopped: ["gone"],
};

const phaseOnDisk: Readonly<Record<SandboxPhase, Phase>> = {
  creating: "creating",
  created: "creating",
  networking: "networking",
  ready: "ready",
  stopping: "stopping",
  stopped: "stopped",
};

/** Of a sandbox with this record; one without any is gone, or was never ours. */
export function phaseOf(record: Pick<SandboxRecord, "phase"> | undefined): Phase {
  return record === undefined ? "gone" : phaseOnDisk[record.phase];
}

/** @throws TypeError for a step that the table has not: a fault of ours, never of a caller */
export function requireTransition(from: Phase, to: Phase): void {
  if (from === to || transitions[from].includes(to)) return;
  throw new TypeError(`a pod sandbox cannot go from ${from} to ${to}`);
}

/**
 * On its way up or down, or of a container that nobody knows the id of, with nobody to go on when no call is under way. After a CNI DEL that failed that is
 * the kubelet, which repeats its Stop.
 */
export function isHalfDone(record: SandboxRecord | undefined): boolean {
  const phase = phaseOf(record);
  if (phase === "creating" || phase === "networking") return true;
  if (record !== undefined && record.id === undefined) return true;
  return phase === "stopping" && record?.delFailure === undefined;
}
