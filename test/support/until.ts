import type { Engine } from "../../src/engine/engine.ts";

/** Waits until a condition holds; an error names what did not come. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
  what = condition.toString(),
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The exit code of a container that runs, or has run, by Docker's own word. */
export async function exitCodeOf(
  docker: Pick<Engine, "inspectContainer">,
  id: string,
): Promise<number> {
  for (;;) {
    const { State } = await docker.inspectContainer(id);
    if (!State.Running) return State.ExitCode;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
