import { isNotFound } from "../../cri/call-error.ts";
import type { Hook, PlannedContainer } from "./plan.ts";
import type { PlayServices, ProbeResult } from "./services.ts";

/** The kubelet gives a container so long after its preStop hook, however long that took. */
const leastGraceSeconds = 2;

interface HookPlace {
  containerId: string;
  /** Of the pod. */
  address: string;
}

/** Runs a hook for at most so many milliseconds. */
export async function runHook(
  { probe, clock }: Pick<PlayServices, "probe" | "clock">,
  hook: Hook,
  place: HookPlace,
  timeoutMs: number,
): Promise<ProbeResult> {
  if (hook.kind !== "sleep") return await probe(hook, { ...place, timeoutMs });
  await clock.sleep(Math.min(hook.seconds * 1000, timeoutMs));
  return { outcome: "success", text: "" };
}

/**
 * Stops a container: first its preStop hook, whose time is part of the grace period, then the signal.
 * One that is gone is stopped.
 */
export async function stopContainer(
  services: Pick<PlayServices, "probe" | "clock" | "runtime" | "say">,
  { hooks }: Pick<PlannedContainer, "hooks">,
  { title, ...place }: HookPlace & { title: string },
  graceSeconds: number,
): Promise<void> {
  const { runtime, clock, say } = services;
  let left = graceSeconds;
  if (hooks.preStop !== undefined && graceSeconds > 0) {
    const beganMs = clock.monotonicMs();
    const { outcome, text } = await runHook(services, hooks.preStop, place, graceSeconds * 1000);
    if (outcome === "failure") say(`${title}: its preStop hook has failed: ${text}`);
    const tookSeconds = Math.round((clock.monotonicMs() - beganMs) / 1000);
    left = Math.max(leastGraceSeconds, graceSeconds - tookSeconds);
  }
  try {
    await runtime.stopContainer({ containerId: place.containerId, timeout: BigInt(left) });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
