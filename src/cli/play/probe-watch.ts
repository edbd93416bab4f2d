import type { PlannedContainer, Probe } from "./plan.ts";
import type { PlayServices, PodOnNode } from "./services.ts";

/** What probes bring about. */
export interface ProbeEffects {
  /** The startup probe has succeeded, or there is none. */
  started(): void;
  ready(isReady: boolean, why: string): void;
  /** The startup or liveness probe has failed for good. False: the container could not be ended. */
  failed(
    kind: "startup" | "liveness",
    why: string,
    graceSeconds: number | undefined,
  ): Promise<boolean>;
}

/**
 * Probes one run of a container until the signal aborts: first by its startup probe, then by the
 * others. Returns when the signal has aborted or a probe has ended the container.
 */
export async function watchProbes(
  services: Pick<PlayServices, "probe" | "clock">,
  pod: Pick<PodOnNode, "addresses">,
  { container, containerId }: { container: PlannedContainer; containerId: string },
  effects: ProbeEffects,
  signal: AbortSignal,
): Promise<void> {
  const { startup, liveness, readiness } = container.probes;
  const target = { containerId, address: pod.addresses[0] ?? "127.0.0.1" };
  const turns = (probe: Probe, onTurn: OnTurn): Promise<void> =>
    repeat(services, probe, target, onTurn, signal);
  if (startup !== undefined) {
    const state = { isStarted: false };
    await turns(startup, async (isGood, why) => {
      state.isStarted = isGood;
      if (isGood) return "end";
      return (await effects.failed("startup", why, startup.graceSeconds)) ? "end" : "go on";
    });
    if (!state.isStarted) return;
  }
  if (signal.aborted) return;
  effects.started();
  const watches: Promise<void>[] = [];
  if (liveness !== undefined) {
    watches.push(
      turns(liveness, async (isGood, why) => {
        if (isGood) return "go on";
        return (await effects.failed("liveness", why, liveness.graceSeconds)) ? "end" : "go on";
      }),
    );
  }
  if (readiness === undefined) effects.ready(true, "");
  else {
    watches.push(
      turns(readiness, (isGood, why) => {
        effects.ready(isGood, why);
        return Promise.resolve("go on" as const);
      }),
    );
  }
  await Promise.all(watches);
}

/** Called when a threshold is reached, each time; not before. */
type OnTurn = (isGood: boolean, why: string) => Promise<"go on" | "end">;

async function repeat(
  { probe: doProbe, clock }: Pick<PlayServices, "probe" | "clock">,
  probe: Probe,
  target: { containerId: string; address: string },
  onTurn: OnTurn,
  signal: AbortSignal,
): Promise<void> {
  let [good, bad] = [0, 0];
  const pause = (ms: number): Promise<void> => clock.sleep(ms, signal).catch(() => undefined);
  await pause(probe.initialDelayMs);
  while (!signal.aborted) {
    const { outcome, text } = await doProbe(probe.action, {
      ...target,
      timeoutMs: probe.timeoutMs,
    });
    // The container has ended meanwhile: what was found says nothing.
    if ((signal as { aborted: boolean }).aborted) return;
    if (outcome === "success") [good, bad] = [good + 1, 0];
    else if (outcome === "failure") [good, bad] = [0, bad + 1];
    const isGood = outcome === "success" && good >= probe.successThreshold;
    const isBad = outcome === "failure" && bad >= probe.failureThreshold;
    if ((isGood || isBad) && (await onTurn(isGood, text)) === "end") return;
    await pause(probe.periodMs);
  }
}
