import { failpoint } from "../sys/failpoint.ts";
import type { StartedPod } from "./hooks.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";

/** Those who listen are asked first. With nobody there it is shown in the moment in which that was looked at. */
export async function becomeReady(
  { hooks }: Pick<SandboxDeps, "hooks">,
  pod: StartedPod,
  interrupted: AbortSignal,
  finish: () => Promise<void>,
): Promise<void> {
  if (hooks.active) {
    failpoint("run.before-nri");
    await hooks.podRun(pod, async () => {
      interrupted.throwIfAborted();
      await finish();
    });
    failpoint("run.after-nri");
    return;
  }
  hooks.reveal(pod.name);
  await finish();
}
